"""Evaluation on one split of a data set: figures of the task, spike rates, operations."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor, distributed

from ..coding.draws import drawing, sample_keys
from ..core.errors import ConfigError
from ..datasets.base import Split
from ..datasets.batches import Batches
from ..models.network import SpikingNetwork
from ..tasks.base import Result, Task
from ..tasks.class_scores import class_scores
from ..tasks.classification import Classification
from ..tasks.outcomes import Outcomes
from .bursts import BurstShares
from .cost.operations import Counts, Operations
from .information import Divergence
from .overflows import Overflows
from .spikes import SampleSpikes, SpikeRates, SpikesToDecision, decides_at_times


@dataclass(frozen=True)
class Evaluation:
    """Results of a network on a split.

    Attributes:
        samples: number of samples N.
        values: the figures of the task by name; `loss` is among them. Of classification also
            `accuracy` (of the mean of the logits over all steps), `accuracy_per_step` (of the mean
            over the steps 1..t, for each t; behind an accumulator of the windows 1..w),
            `accuracy_of_each_step` (of the logits of step t alone), `confusion`
            `[classes][classes]` (counts by true class and prediction) and `calibration_error` (see
            `calibration`).
        spike_rate: spikes per neuron, sample and step.
        spike_rates: spikes per neuron and sample, for each layer and step.
        spikes_per_sample: number of spikes per sample, over all layers and steps.
        spikes_to_decision: the same up to the step, or the exact time, of the decision; None of a
            readout that never answers before the end.
        samples_per_second: throughput, including data loading.
        outcomes: prediction and confidence of each sample after each step; None if the task has not
            one class a sample.
        found: the boxes that are found in each sample, `[N, D, 6]`; None of another task than
            detection.
        counts: operations and events; None if they were not counted.
        counts_to_decision: those before the decision of each sample, at exact times; None if they
            were not counted, or if the readout does not decide at a time.
        burst_shares: share of the neurons and steps with more than one spike, by layer; without
            layers that send at most one.
        divergence: of the spikes of a bottleneck from those of its rate, in nats a sample, by
            layer: a bound of their information on the input; without other layers.
        overflows: share of the neurons and samples that fired as often as they may, and would have
            again, by layer; of neurons `multi-spike`.
        sample_spikes: spikes of each step and sample, over all layers, `[T, N]`; None if they were
            not counted, or if there are no layers with spikes.
    """

    samples: int
    values: dict[str, Any]
    spike_rate: float
    spike_rates: dict[str, list[float]]
    spikes_per_sample: float
    spikes_to_decision: float | None
    samples_per_second: float
    outcomes: Outcomes | None = None
    found: Tensor | None = None
    counts: Counts | None = None
    counts_to_decision: Counts | None = None
    burst_shares: dict[str, float] = field(default_factory=dict)
    divergence: dict[str, float] = field(default_factory=dict)
    overflows: dict[str, float] = field(default_factory=dict)
    sample_spikes: Tensor | None = None

    @property
    def loss(self) -> float:
        """The loss of the task."""
        return self.values["loss"]

    @property
    def accuracy(self) -> float:
        """The share of correct predictions.

        Raises:
            ConfigError: the task has none.
        """
        return self._value("accuracy")

    @property
    def accuracy_per_step(self) -> list[float]:
        """Accuracy of the mean of the logits over the steps 1..t, for each t.

        Raises:
            ConfigError: the task has none.
        """
        return self._value("accuracy_per_step")

    @property
    def confusion(self) -> list[list[int]]:
        """Counts by true class (row) and prediction (column).

        Raises:
            ConfigError: the task has none.
        """
        return self._value("confusion")

    @property
    def calibration_error(self) -> float:
        """The expected calibration error.

        Raises:
            ConfigError: the task has none.
        """
        return self._value("calibration_error")

    @property
    def class_scores(self) -> dict[str, Any]:
        """Precision, recall and F1 of each class, and their means, see `asnn.tasks.class_scores`.

        Raises:
            ConfigError: the task has no classes.
        """
        return class_scores(self.confusion)

    @property
    def class_outcomes(self) -> Outcomes:
        """The prediction for each sample after each step.

        Raises:
            ConfigError: the task has not one class a sample.
        """
        if self.outcomes is None:
            raise ConfigError("this result has no class for each sample")
        return self.outcomes

    def _value(self, name: str) -> Any:
        if name not in self.values:
            raise ConfigError(
                f"this result has no {name}",
                why=f"its task gives {', '.join(self.values)}",
                remedy="read the figures of the task in `values`",
            )
        return self.values[name]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, without those of each sample."""
        omitted = ("samples", "values", "outcomes", "found", "sample_spikes")
        omitted += ("counts", "counts_to_decision")
        return {
            "samples": self.samples,
            **self.values,
            **{f.name: getattr(self, f.name) for f in fields(self) if f.name not in omitted},
        }


@torch.no_grad()
def evaluate(
    model: SpikingNetwork,
    split: Split,
    *,
    full_scale: float,
    classes: int = 0,
    task: Task | None = None,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    steps: int | None = None,
    workers: int = 0,
    each_batch: Callable[[], None] = lambda: None,
    part: tuple[int, int] = (0, 1),
    count: bool = False,
    graded: bool = False,
    draw: int = 0,
) -> Evaluation:
    """Evaluate a network on a split; the copy that `model.frozen()` returns computes it.

    What a random code draws for a sample is a function of `draw` and the index of the sample in
    the split, see `asnn.coding.draws`. The state of the random generators is restored afterwards;
    the network is not changed.

    Args:
        model: network on `device`.
        split: samples and labels.
        classes: number of classes of a classification, instead of a task.
        task: what the network is asked; classification by default.
        full_scale: the uint8 value that becomes 1.0.
        batch_size: samples per batch.
        device: the device of the network.
        steps: number of leading steps to use; all by default.
        workers: processes that load samples from disk.
        each_batch: called before each batch; an exception from it ends the evaluation.
        part: (rank, world size) of the processes that share the samples; they exchange results by
            torch.distributed, so that each returns the evaluation of the whole split.
        count: also count operations, and the spikes of each sample.
        graded: count them for hardware with graded spikes, see `Operations`.
        draw: the number of the draw, for codes and neurons that draw.

    Raises:
        ConfigError: `steps` is more than the network has.
    """
    batches = Batches(
        split,
        batch_size=batch_size,
        full_scale=full_scale,
        device=device,
        workers=workers,
        part=part,
    )
    if task is None:
        task = Classification.of(classes)
        task.use_readout(model.readout)
    meter = task.meter(model.outputs_within(steps))
    begin = time.perf_counter()
    network = model.frozen()
    generators = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(generators))
        rates = stack.enter_context(SpikeRates(network))
        bursts = stack.enter_context(BurstShares(network))
        divergence = stack.enter_context(Divergence(network))
        overflows = stack.enter_context(Overflows(network))
        operations = stack.enter_context(Operations(network, graded=graded)) if count else None
        first = None
        if count and decides_at_times(model.readout):
            first = stack.enter_context(Operations(network, graded=graded, until_decision=True))
        until = stack.enter_context(SpikesToDecision(network))
        by_sample = count or callable(getattr(model.readout, "crossed", None))
        spikes = stack.enter_context(SampleSpikes(network)) if by_sample else None
        spikes_of: list[Tensor | None] = []
        spikes_until: list[Tensor | None] = []
        torch.manual_seed(draw)
        for x, targets in batches:
            each_batch()
            if len(x) == 0:  # a last batch with fewer samples than processes
                continue
            assert targets.samples is not None, "batches say which samples they hold"
            with drawing(sample_keys(targets.samples, draw)):
                outputs = network(x, steps)
                meter.take(outputs, targets)
                if spikes is not None:
                    spikes_of.append(spikes.take())
                spikes_until.append(until.take())
    reduce, gather = _identity, _identity
    if part[1] > 1:
        reduce, gather = sum_over_processes, _Gather(batches.sample_indices())
        rates.all_reduce(sum_over_processes)
        bursts.all_reduce(sum_over_processes)
        divergence.all_reduce(sum_over_processes)
        overflows.all_reduce(sum_over_processes)
    found = _in_steps(meter.result(reduce, gather), model.steps_per_output)
    seconds = time.perf_counter() - begin
    sample_spikes = _joined(spikes_of, gather)
    until_times = _joined(spikes_until, gather)
    until_steps = _until_step(sample_spikes, found.outcomes)
    return Evaluation(
        samples=found.samples,
        values=found.values,
        spike_rate=rates.mean(),
        spike_rates=rates.by_layer(),
        spikes_per_sample=rates.total() / max(found.samples, 1),
        spikes_to_decision=until_steps if until_times is None else float(until_times.mean()),
        samples_per_second=found.samples / seconds,
        outcomes=found.outcomes,
        found=found.found,
        counts=None if operations is None else operations.counts(reduce, gather),
        counts_to_decision=None if first is None else first.counts(reduce, gather),
        burst_shares=bursts.by_layer(),
        divergence=divergence.by_layer(),
        overflows=overflows.by_layer(),
        sample_spikes=sample_spikes,
    )


def _joined(parts: list[Tensor | None], gather: Callable[[Tensor], Tensor]) -> Tensor | None:
    """Return counts of the samples of each batch `[..., B]` as those of all; None without any."""
    known = [part for part in parts if part is not None]
    return gather(torch.cat(known, -1)) if known else None


def _until_step(spikes: Tensor | None, outcomes: Outcomes | None) -> float | None:
    """Return the mean number of spikes of a sample up to the step of its decision."""
    if spikes is None or outcomes is None or outcomes.steps is None:
        return None
    last = outcomes.network_steps(outcomes.steps)
    return float(spikes.cumsum(0).gather(0, last.view(1, -1)).mean())


def _in_steps(found: Result, every: int) -> Result:
    """Return what a meter found of outputs that take several steps each, in steps."""
    if every == 1:
        return found
    values = dict(found.values)
    if "mean_step" in values:
        values["mean_step"] *= every
    outcomes = found.outcomes and replace(found.outcomes, every=every)
    return replace(found, values=values, outcomes=outcomes)


def sum_over_processes(value: torch.Tensor) -> torch.Tensor:
    """Return the sum of a tensor over all processes."""
    total = value.clone()
    distributed.all_reduce(total)
    return total


class _Gather:
    """Concatenates the samples of all processes, in the order of the split.

    Args:
        indices: the indices of this process's samples in the split.
    """

    def __init__(self, indices: torch.Tensor) -> None:
        self._order = _concatenate(indices, 0).argsort()

    def __call__(self, value: torch.Tensor) -> torch.Tensor:
        return _concatenate(value, -1)[..., self._order]


def _concatenate(value: torch.Tensor, axis: int) -> torch.Tensor:
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, value)
    return torch.cat(parts, axis)


def _identity(value: torch.Tensor) -> torch.Tensor:
    return value
