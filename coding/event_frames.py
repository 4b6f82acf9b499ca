"""Codes of events: each of T windows becomes a frame."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from ..core.errors import ConfigError
from .base import MAX_STEPS, Coding, Moments
from .samples import EventBatch, SampleSpec
from .selection import SELECTIONS, Selection, selected

Polarity = Literal["two", "signed", "off"]
Bins = Literal["time", "count"]
Value = Literal["binary", "count", "log-count"]
Late = Literal["drop", "last-bin"]


class EventCoding(Coding):
    """A code of events: `EventBatch -> [T, B, P, H, W]`.

    Args:
        steps: number of time steps T.
        polarity: `two` gives off and on a channel each (P = 2; 1 for a sensor without polarity),
            `signed` adds on and subtracts off (P = 1), `off` counts both alike (P = 1).
        duration: the length in ms that the T windows share; by default that of the recordings.
        downsample: pixels of the sensor, in each direction, that share one pixel of the frame.

    Raises:
        ConfigError: an option out of range.
    """

    takes = frozenset({"events"})

    def __init__(
        self,
        *,
        steps: int,
        polarity: Polarity = "two",
        duration: float | None = None,
        downsample: int = 1,
    ) -> None:
        super().__init__(steps=steps)
        if polarity not in ("two", "signed", "off"):
            raise ConfigError(f"unknown polarity {polarity!r}", why="choose from two, signed, off")
        if duration is not None and not 0 < duration < 1e12:
            raise ConfigError(f"duration is {duration} ms", why="it must be above 0 and finite")
        if downsample < 1:
            raise ConfigError(f"downsample is {downsample}", why="it must be at least 1")
        self.polarity = polarity
        self.duration = duration
        self.downsample = downsample
        self.windows = steps

    def step_shape(self, spec: SampleSpec) -> tuple[int, ...]:
        polarities, height, width = spec.shape
        side = (-(-height // self.downsample), -(-width // self.downsample))
        return (polarities if self.polarity == "two" else 1, *side)

    def microseconds(self, events: EventBatch) -> int:
        """Return the length in µs that the windows share."""
        if self.duration is not None:
            return max(self.windows, round(1000 * self.duration))
        trained = None if self.spec is None else self.spec.duration
        return max(self.windows, trained or events.duration)

    def pixels(self, events: EventBatch) -> tuple[Tensor, tuple[int, ...]]:
        """Return the flat index of each event in `[B, P, H, W]`, and that shape."""
        shape = self.step_shape(SampleSpec("events", events.shape, duration=events.duration))
        channels, height, width = shape
        x, y = events.x, events.y
        if self.downsample > 1:
            x, y = x // self.downsample, y // self.downsample
        index = (events.sample * height + y) * width + x
        if channels == 2:
            index = ((events.sample * 2 + events.p) * height + y) * width + x
        return index, (events.size, channels, height, width)

    def decode(self, code: Tensor, moments: Moments | None = None) -> Tensor:
        raise ConfigError(
            f"the code {self.name!r} cannot be decoded",
            why="a frame does not keep the time of each of its events",
        )

    def signs(self, events: EventBatch) -> Tensor | None:
        """Return the value of each event, -1 or 1; None if all are 1."""
        return (2 * events.p - 1).double() if self.polarity == "signed" else None


class Frames(EventCoding):
    """The number of events of each pixel in each of N windows, of which T are the steps.

        code[t, b, p, y, x] = f(n), n the events of recording b with k = k_t at that pixel
        k = ⌊N time / duration⌋ (bins = time)    or    k = ⌊N rank / events⌋ (bins = count)
        f(n) = H(n) (binary), n (count) or sign(n) log(1 + |n|) (log-count)

    By default N = T and k_t = t. Binary frames are spikes; the others are values, and what reads
    them multiplies.

    Args:
        steps: number of time steps T.
        windows: N, at least T; T by default.
        frames: which windows k_t are the steps: the `first` T, the `last` T, or `spread`, see
            `asnn.coding.selection`.
        bins: windows of equal time, or of an equal number of events of the recording.
        value: `binary`, `count` or `log-count`.
        polarity, duration, downsample: as in `EventCoding`.
        late: events after `duration` are left out (`drop`) or fall into the last window.

    Raises:
        ConfigError: an option out of range.
    """

    name = "frames"

    def __init__(
        self,
        *,
        steps: int,
        windows: int | None = None,
        frames: Selection = "first",
        bins: Bins = "time",
        value: Value = "binary",
        polarity: Polarity = "two",
        duration: float | None = None,
        late: Late = "drop",
        downsample: int = 1,
    ) -> None:
        super().__init__(steps=steps, polarity=polarity, duration=duration, downsample=downsample)
        for key, given, choices in (
            ("bins", bins, ("time", "count")),
            ("value", value, ("binary", "count", "log-count")),
            ("late", late, ("drop", "last-bin")),
            ("frames", frames, SELECTIONS),
        ):
            if given not in choices:
                raise ConfigError(
                    f"unknown {key} {given!r}", why=f"choose from {', '.join(choices)}"
                )
        self.windows = steps if windows is None else windows
        if not steps <= self.windows <= MAX_STEPS:
            raise ConfigError(
                f"windows must be from {steps}, the number of steps, to {MAX_STEPS:,}, "
                f"not {windows}"
            )
        self._steps_of = torch.full((self.windows,), -1)
        self._steps_of[selected(frames, steps, self.windows)] = torch.arange(steps)
        self.bins = bins
        self.value = value
        self.late = late
        # A signed frame has -1 too, which is no spike.
        self.analog_steps = 0 if value == "binary" and polarity != "signed" else steps

    def whole(self) -> dict[str, Any]:
        return {"steps": self.windows, "windows": None}

    def of_windows(self, windows: int) -> dict[str, Any] | None:
        return {"value": "log-count"} if self.windows == self.steps else None

    def encode(self, x: EventBatch) -> Tensor:  # type: ignore[override]
        x, step = self._placed(x)
        pixel, shape = self.pixels(x)
        size = math.prod(shape)
        weights = self.signs(x)
        index = step * size + pixel
        counts = torch.bincount(index, weights, minlength=self.steps * size)
        return self._values(counts.view(self.steps, *shape).float())

    def _placed(self, events: EventBatch) -> tuple[EventBatch, Tensor]:
        """Return the events that are in a step, and its number."""
        events, window = self._windowed(events)
        if self.windows == self.steps:
            return events, window
        step = self._steps_of.to(window.device)[window]
        return events.kept(step >= 0), step[step >= 0]

    def _windowed(self, events: EventBatch) -> tuple[EventBatch, Tensor]:
        """Return the events that have a window, and its number."""
        if self.bins == "count":
            counts = events.counts()
            first = counts.cumsum(0) - counts
            rank = torch.arange(len(events.t), device=events.device) - first[events.sample]
            return events, rank * self.windows // counts[events.sample]
        duration = self.microseconds(events)
        inside = events.t >= 0
        if self.late == "drop":
            inside &= events.t < duration
        events = events.kept(inside)
        return events, (events.t * self.windows // duration).clamp(max=self.windows - 1)

    def _values(self, counts: Tensor) -> Tensor:
        if self.value == "binary":
            return counts.sign()
        return counts if self.value == "count" else counts.sign() * counts.abs().log1p()


class Voxel(EventCoding):
    """Events spread over the two nearest of T times, bilinear:

        code[t, b, p, y, x] = Σ_i ±1 max(0, 1 - |t - (T - 1) time_i / duration|)

    Args:
        steps: number of time steps T, at least 2.
        polarity, duration, downsample: as in `EventCoding`.

    Raises:
        ConfigError: an option out of range.

    Source: Zhu et al., CVPR 2019 (arXiv 1812.08156), equation 1.
    """

    name = "voxel"
    min_steps = 2

    def __init__(
        self,
        *,
        steps: int,
        polarity: Polarity = "signed",
        duration: float | None = None,
        downsample: int = 1,
    ) -> None:
        super().__init__(steps=steps, polarity=polarity, duration=duration, downsample=downsample)
        self.analog_steps = steps

    def encode(self, x: EventBatch) -> Tensor:  # type: ignore[override]
        duration = self.microseconds(x)
        x = x.kept((x.t >= 0) & (x.t <= duration))
        pixel, shape = self.pixels(x)
        size = math.prod(shape)
        position = (self.steps - 1) * x.t.double() / duration
        before = position.floor().long().clamp(max=self.steps - 2)
        share = position - before
        signs = self.signs(x)
        index = torch.cat([before * size + pixel, (before + 1) * size + pixel])
        weights = torch.cat([1 - share, share])
        if signs is not None:
            weights = weights * signs.repeat(2)
        code = torch.bincount(index, weights, minlength=self.steps * size)
        return code.view(self.steps, *shape).float()


class TimeSurface(EventCoding):
    """The age of the last event of each pixel at the end of each of T windows, exponential:

        code[t, b, p, y, x] = exp(-(t_end - t_last) / τ), 0 where there was no event yet
        t_end = (t + 1) duration / T

    Args:
        steps: number of time steps T.
        tau: τ in ms.
        polarity: `two` or `off`.
        duration, downsample: as in `EventCoding`.

    Raises:
        ConfigError: an option out of range.

    Source: Lagorce et al., IEEE TPAMI 39 (2017), equation 3.
    """

    name = "time-surface"
    working_bytes = 32

    def __init__(
        self,
        *,
        steps: int,
        tau: float = 50.0,
        polarity: Literal["two", "off"] = "two",
        duration: float | None = None,
        downsample: int = 1,
    ) -> None:
        super().__init__(steps=steps, polarity=polarity, duration=duration, downsample=downsample)
        if polarity == "signed":
            raise ConfigError(
                "polarity 'signed' has no time surface",
                why="the age of an event has no sign",
                remedy="choose two or off",
            )
        if not 0 < tau < 1e12:
            raise ConfigError(f"tau is {tau} ms", why="it must be above 0 and finite")
        self.tau = tau
        self.analog_steps = steps

    def encode(self, x: EventBatch) -> Tensor:  # type: ignore[override]
        duration = self.microseconds(x)
        x = x.kept((x.t >= 0) & (x.t < duration))
        pixel, shape = self.pixels(x)
        size = math.prod(shape)
        window = x.t * self.steps // duration
        last = torch.full((self.steps * size,), -1, dtype=torch.int64, device=x.device)
        last.scatter_reduce_(0, window * size + pixel, x.t, "amax")
        last = last.view(self.steps, *shape).cummax(0).values
        ends = torch.arange(1, self.steps + 1, device=x.device, dtype=torch.float64)
        ends = (ends * duration / self.steps).view(-1, 1, 1, 1, 1)
        age = (ends - last.double()) / (1000 * self.tau)
        return torch.where(last >= 0, (-age).exp(), 0.0).float()
