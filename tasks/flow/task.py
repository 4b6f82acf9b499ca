"""Optical flow of events, learned from the events alone."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from ...coding.base import Coding
from ...coding.event_frames import EventCoding
from ...coding.samples import EventBatch, SampleSpec
from ...core.errors import ConfigError, DataError
from ...core.metric import Metric
from ...datasets.base import DataSet
from ...datasets.motion import contrast_loss, flow_at
from ...datasets.transforms.mixing import Targets
from ...models.readouts import Readout
from ..base import Gather, Meter, Result, Task, refuse_mixed, require_target
from .errors import flow_errors
from .seen import SeenEvents
from .smoothness import smoothness

Warp = Literal["answer", "steps"]
WARPS = ("answer", "steps")
AEE = Metric("aee", greater_is_better=False, percent=False)
RSAT = Metric("rsat", greater_is_better=False, percent=False)
MEASURES = ("loss", "fwl", "rsat", "aee", "outliers")


class Flow(Task):
    """Optical flow at each pixel: outputs `[T, B, 2, H, W]`, in pixels over the recording.

    The loss moves the events along the flow and asks how well they meet, see `contrast_loss`:

        loss = contrast(end) + contrast(start, times reversed) + smooth · smoothness

    It never uses a truth. Where the data have one, `aee` and `outliers` (errors above 3 px) are
    measured over the pixels with events and known truth, and `aee` decides; otherwise `rsat` does.
    `fwl` above 1 and `rsat` below 1 say that the flow sharpens the events; both depend on the
    number of events. All are means over recordings. `aee_per_step` and `rsat_per_step` are those of
    the answer after each step.

    If the code has a duration shorter than that of the recordings, only the events in it count; the
    flow is still in pixels over the whole recording.

    Args:
        warp: the events move along the flow of the `answer`, the mean over the steps; or along that
            of their own step (`steps`), each of the T steps an equal part of the time.
        smooth: weight of the differences between neighbours.

    Raises:
        ConfigError: an option out of range.

    Source: arXiv 2106.01862, section 3.2.
    """

    name = "flow"
    primary = RSAT
    primaries = (AEE, RSAT)
    tracked = ("rsat", "fwl")
    shares = ("outliers",)
    answers = "flow"
    has_places = True

    def __init__(self, *, warp: Warp = "answer", smooth: float = 0.001) -> None:
        if warp not in WARPS:
            raise ConfigError(f"unknown warp {warp!r}", why=f"choose from {', '.join(WARPS)}")
        if not 0 <= smooth < float("inf"):
            raise ConfigError(f"smooth is {smooth}", why="it must be 0 or more, and finite")
        self.warp = warp
        self.smooth = smooth
        self.outputs = 2
        self.classes = []
        self._until: int | None = None
        self._steps = 0

    def bind(self, data: DataSet, coding: Coding) -> None:
        require_target(self.name, data)
        if data.spec.kind != "events" or not isinstance(coding, EventCoding):
            raise DataError(
                f"the task {self.name} needs recordings of events and a code of frames",
                why=f"the samples of {data.name} are {data.spec.many}, the code is {coding.name}",
                remedy="choose data.name=flow-nmnist, flow-events or flow-simulated, and "
                "coding.name=frames",
            )
        sensor, frame = data.spec.shape[1:], coding.step_shape(data.spec)[1:]
        if sensor != frame:
            raise ConfigError(
                f"the code has frames of {frame[0]}×{frame[1]} pixels, the sensor has "
                f"{sensor[0]}×{sensor[1]}",
                why="the flow is that of each pixel of the sensor",
                remedy="leave coding.downsample out",
            )
        if self.warp == "steps" and not _equal_steps(coding):
            raise ConfigError(
                "task.warp=steps needs steps of equal time that follow each other",
                why="an event moves along the flow of the step in whose time it is",
                remedy="set coding.name=frames with coding.bins=time and without coding.windows, "
                "or task.warp=answer",
            )
        self.restore(self.classes, data.spec, coding)
        if _is_known(data):
            self.primary = AEE
            self.tracked = ("aee", "rsat", "fwl")

    def restore(
        self, classes: list[str], sample: SampleSpec | None, coding: Coding | None = None
    ) -> None:
        super().restore(classes, sample, coding)
        if coding is None or sample is None or sample.duration is None:
            return
        assert isinstance(coding, EventCoding), "networks of flow read frames of events"
        self._steps, self._until = coding.steps, sample.duration
        if coding.duration is not None:
            self._until = min(self._until, max(1, round(1000 * coding.duration)))

    def use_readout(self, readout: Readout) -> None:
        if readout.only_for != self.name:
            raise ConfigError(
                "the task flow needs a network that answers with a flow for each pixel",
                why=f"the readout {type(readout).__name__} answers with classes or values",
                remedy="set model.name=firenet",
            )
        super().use_readout(readout)

    def loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        return self.losses(outputs, targets).mean()

    def losses(self, outputs: Tensor, targets: Targets) -> Tensor:
        refuse_mixed(self.name, targets)
        return self.losses_of(outputs, self.seen(targets))

    def losses_of(self, outputs: Tensor, seen: SeenEvents) -> Tensor:
        """Return the loss of each recording, `[B]`."""
        flow = outputs.float() if self.warp == "steps" else self.answer(outputs).float()[None]
        found = contrast_loss(seen.events, self._of_events(seen.events, flow), seen.until)
        return found + self.smooth * smoothness(flow, seen.lit)

    @torch.no_grad()
    def score(self, outputs: Tensor, targets: Targets) -> float:
        """Return the sum over the recordings of the primary metric, 0 where it is not known."""
        found = self.measured(self.answer(outputs), targets)[self.primary.name]
        return float(found.nan_to_num(0).sum())

    @torch.no_grad()
    def measured(self, flow: Tensor, targets: Targets) -> dict[str, Tensor]:
        """Return the measures of a flow `[B, 2, H, W]` by name, `[B]`, NaN where not known."""
        return _measured(flow, self.seen(targets), targets.first)

    def meter(self, steps: int) -> Meter:
        return _FlowMeter(self, steps)

    def seen(self, targets: Targets) -> SeenEvents:
        """Return the events of a batch that count: those in the time that the network sees."""
        events = targets.inputs
        assert isinstance(events, EventBatch), "batches of recordings hold their events"
        return SeenEvents(events, self.until(events))

    def until(self, events: EventBatch) -> int:
        """Return the end of the time that the network sees, in µs."""
        return events.duration if self._until is None else self._until

    def _of_events(self, events: EventBatch, flow: Tensor) -> Tensor:
        """Return the flow of each event, `[E, 2]`, of flow `[T, B, 2, H, W]`."""
        if len(flow) == 1:
            return flow_at(events, flow[0])
        steps = self._steps or len(flow)
        step = (events.t * steps // self.until(events)).clamp(max=len(flow) - 1)
        return flow[step, events.sample, :, events.y, events.x]


class _FlowMeter(Meter):
    def __init__(self, task: Flow, steps: int) -> None:
        self._task = task
        # Sums of the measures over the recordings in which they are known, and their numbers.
        self._sums = torch.zeros(2, len(MEASURES), dtype=torch.float64)
        self._by_step = torch.zeros(2, 2, steps, dtype=torch.float64)
        self._samples = torch.zeros(1, dtype=torch.float64)

    def take(self, outputs: Tensor, targets: Targets) -> None:
        task, truth = self._task, targets.first
        seen = task.seen(targets)
        found = {"loss": task.losses_of(outputs, seen)}
        found |= _measured(task.answer(outputs), seen, truth)
        self._sums += torch.stack([_sum(found[name]) for name in MEASURES], 1)
        assert task.readout is not None, "a task has the readout of its network"
        for t, flow in enumerate(task.readout.so_far(outputs)):
            of_step = _measured(flow, seen, truth)
            self._by_step[:, :, t] += torch.stack([_sum(of_step[k]) for k in ("aee", "rsat")], 1)
        self._samples += outputs.shape[1]

    def result(self, total: Gather, gather: Gather) -> Result:
        sums, by_step = total(self._sums), total(self._by_step)
        values: dict[str, Any] = dict(zip(MEASURES, _means(sums), strict=True))
        per_step = (_means(by_step[:, i]) for i in (0, 1))
        values |= dict(zip(("aee_per_step", "rsat_per_step"), per_step, strict=True))
        if values["aee"] is None:  # no truth
            values = {
                k: v for k, v in values.items() if k not in ("aee_per_step", "outliers", "aee")
            }
        values["loss"] = values["loss"] or 0.0
        return Result(int(total(self._samples)), values)


def _measured(flow: Tensor, seen: SeenEvents, truth: Tensor) -> dict[str, Tensor]:
    """Return the measures of a flow `[B, 2, H, W]` by name, `[B]`."""
    flow = flow.float()
    return seen.measures(flow)._asdict() | flow_errors(flow, truth, seen.lit)._asdict()


def _sum(values: Tensor) -> Tensor:
    """Return the sum of finite values and their number, `[2]`."""
    known = values.isfinite()
    return torch.stack([torch.where(known, values, 0).sum(), known.sum()]).double().cpu()


def _means(sums: Tensor) -> list[float | None]:
    """Return sum over number `[2, K]` of each, None of nothing."""
    return [float(s / n) if n > 0 else None for s, n in zip(*sums, strict=True)]


def _is_known(data: DataSet) -> bool:
    """Return whether all parts of the data have a truth."""
    parts = (data.train, data.validation, data.test)
    return all(not bool(part.targets.isnan().all()) for part in parts)


def _equal_steps(coding: EventCoding) -> bool:
    return coding.windows == coding.steps and getattr(coding, "bins", "time") == "time"
