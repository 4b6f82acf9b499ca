"""Evaluation on one split of a data set: accuracy, loss, spike rates, operations."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import distributed
from torch.nn.functional import cross_entropy

from ..datasets.base import Split
from ..datasets.batches import Batches
from ..models.network import SpikingNetwork
from .cost.operations import Counts, Operations
from .outcomes import Outcomes, calibration
from .spikes import SpikeRates


@dataclass(frozen=True)
class Evaluation:
    """Results of a network on a split.

    Attributes:
        samples: number of samples N.
        accuracy: share of correct predictions; the mean of the logits over all steps predicts.
        loss: cross-entropy of that mean, averaged over samples.
        accuracy_per_step: accuracy of the mean over the steps 1..t, for each t.
        confusion: `[classes][classes]`, counts by true class (row) and prediction (column).
        spike_rate: spikes per neuron, sample and step.
        spike_rates: spikes per neuron and sample, for each layer and step.
        spikes_per_sample: number of spikes per sample, over all layers and steps.
        samples_per_second: throughput, including data loading.
        calibration_error: expected calibration error, see `calibration`.
        outcomes: prediction and confidence of each sample after each step.
        counts: operations and events; None if they were not counted.
    """

    samples: int
    accuracy: float
    loss: float
    accuracy_per_step: list[float]
    confusion: list[list[int]]
    spike_rate: float
    spike_rates: dict[str, list[float]]
    spikes_per_sample: float
    samples_per_second: float
    calibration_error: float
    outcomes: Outcomes
    counts: Counts | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, without `outcomes` and `counts`."""
        omitted = ("outcomes", "counts")
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in omitted}


@torch.no_grad()
def evaluate(
    model: SpikingNetwork,
    split: Split,
    *,
    classes: int,
    full_scale: float,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    steps: int | None = None,
    workers: int = 0,
    each_batch: Callable[[], None] = lambda: None,
    part: tuple[int, int] = (0, 1),
    count: bool = False,
) -> Evaluation:
    """Evaluate a network on a split; the copy that `model.frozen()` returns computes it.

    A random code draws the same numbers in each evaluation. The state of the random generators is
    restored afterwards; the network is not changed.

    Args:
        model: network on `device`.
        split: samples and labels.
        classes: number of classes.
        full_scale: the uint8 value that becomes 1.0.
        batch_size: samples per batch.
        device: the device of the network.
        steps: number of leading steps to use; all by default.
        workers: processes that load samples from disk.
        each_batch: called before each batch; an exception from it ends the evaluation.
        part: (rank, world size) of the processes that share the samples; they exchange results by
            torch.distributed, so that each returns the evaluation of the whole split.
        count: also count operations.

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
    empty = torch.zeros(steps or model.coding.steps, 0)
    batch_outcomes = [Outcomes(empty[0].long(), empty.long(), empty)]
    loss = torch.zeros(1, dtype=torch.float64)
    begin = time.perf_counter()
    network = model.frozen()
    generators = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(generators))
        rates = stack.enter_context(SpikeRates(network))
        operations = stack.enter_context(Operations(network)) if count else None
        torch.manual_seed(0)
        for x, targets in batches:
            each_batch()
            if len(x) == 0:  # a last batch with fewer samples than processes
                continue
            logits = network(x, steps)
            mean_logits = running_mean(logits.float())
            batch_outcomes.append(Outcomes.of(mean_logits, targets.first))
            loss += float(cross_entropy(mean_logits[-1], targets.first, reduction="sum"))
    reduce, gather = _identity, _identity
    if part[1] > 1:
        reduce, gather = sum_over_processes, _Gather(batches.sample_indices())
        loss = sum_over_processes(loss)
        rates.all_reduce(sum_over_processes)
    outcomes = Outcomes.concatenate(batch_outcomes, gather)
    samples = len(outcomes.labels)
    seconds = time.perf_counter() - begin
    return Evaluation(
        samples=samples,
        accuracy=int(outcomes.correct[-1].sum()) / max(samples, 1),
        loss=float(loss) / max(samples, 1),
        accuracy_per_step=(outcomes.correct.sum(1) / max(samples, 1)).tolist(),
        confusion=outcomes.confusion(classes),
        spike_rate=rates.mean(),
        spike_rates=rates.by_layer(),
        spikes_per_sample=rates.total() / max(samples, 1),
        samples_per_second=samples / seconds,
        calibration_error=calibration(outcomes).error,
        outcomes=outcomes,
        counts=None if operations is None else operations.counts(reduce, gather),
    )


def running_mean(logits: torch.Tensor) -> torch.Tensor:
    """Return the mean over the steps 1..t, for each t: `[T, B, K]`."""
    counts = torch.arange(1, len(logits) + 1, device=logits.device).view(-1, 1, 1)
    return logits.cumsum(0) / counts


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
