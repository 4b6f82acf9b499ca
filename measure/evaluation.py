"""Accuracy and what comes with it, on one split of a data set."""

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
    """What a network does on a split.

    Attributes:
        samples: number of samples N.
        accuracy: share of samples whose class is right, by the mean of the logits over all steps.
        loss: cross-entropy of that mean.
        accuracy_per_step: accuracy of the mean over the steps 1..t, for each t.
        confusion: `[classes][classes]`, counts by true class (row) and answer (column).
        spike_rate: spikes for each neuron, sample and step.
        spike_rates: the same for each layer and step.
        spikes_per_sample: number of spikes for each sample, over all layers and steps.
        samples_per_second: throughput, data preparation included.
        calibration_error: how far confidence is from accuracy, see `calibration`.
        outcomes: answer and confidence of each sample after each step.
        counts: operations and events, where they were to be counted.
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
        """Return plain values, for JSON: figures of the split, not of each sample."""
        left_out = ("outcomes", "counts")
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in left_out}


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
    """Return the evaluation of a network on a split, by its `frozen()` form.

    A code that draws random numbers draws the same ones each time. The state of the random
    generators is put back afterwards; the network is not touched.

    Args:
        model: network on `device`.
        split: samples and labels.
        classes: number of classes.
        full_scale: the stored value that means 1.
        batch_size: samples at a time.
        device: where to compute.
        steps: use only the first steps.
        workers: processes that load samples which are not in memory.
        each_batch: called for each batch; what it raises ends the evaluation.
        part: rank and number of processes that share the samples; torch.distributed adds up what
            they find, so that each returns the evaluation of the whole split.
        count: count operations too.

    Raises:
        ConfigError: the network does not have that many steps.
    """
    batches = Batches(
        split,
        batch_size=batch_size,
        full_scale=full_scale,
        device=device,
        workers=workers,
        part=part,
    )
    none = torch.zeros(steps or model.coding.steps, 0)
    outcomes = [Outcomes(none[0].long(), none.long(), none)]
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
            if len(x) == 0:  # a last batch smaller than there are processes
                continue
            logits = network(x, steps)
            so_far = running_mean(logits.float())
            outcomes.append(Outcomes.of(so_far, targets.first))
            loss += float(cross_entropy(so_far[-1], targets.first, reduction="sum"))
    add_up, gathered = _same, _same
    if part[1] > 1:
        add_up, gathered = summed, _Gathered(batches.places())
        loss = summed(loss)
        rates.add_up(summed)
    whole = Outcomes.joined(outcomes, gathered)
    samples = len(whole.labels)
    seconds = time.perf_counter() - begin
    return Evaluation(
        samples=samples,
        accuracy=int(whole.right[-1].sum()) / max(samples, 1),
        loss=float(loss) / max(samples, 1),
        accuracy_per_step=(whole.right.sum(1) / max(samples, 1)).tolist(),
        confusion=whole.confusion(classes),
        spike_rate=rates.mean(),
        spike_rates=rates.by_layer(),
        spikes_per_sample=rates.total() / max(samples, 1),
        samples_per_second=samples / seconds,
        calibration_error=calibration(whole).error,
        outcomes=whole,
        counts=None if operations is None else operations.counts(add_up, gathered),
    )


def running_mean(logits: torch.Tensor) -> torch.Tensor:
    """Return the mean over the steps 1..t, for each t: `[T, B, K]`."""
    counts = torch.arange(1, len(logits) + 1, device=logits.device).view(-1, 1, 1)
    return logits.cumsum(0) / counts


def summed(found: torch.Tensor) -> torch.Tensor:
    """Return the sum of a tensor over all processes."""
    total = found.clone()
    distributed.all_reduce(total)
    return total


class _Gathered:
    """Gives what all processes have of their samples, in the order of the split.

    Args:
        places: where the samples of this process stand in the split.
    """

    def __init__(self, places: torch.Tensor) -> None:
        self._order = _all(places, 0).argsort()

    def __call__(self, found: torch.Tensor) -> torch.Tensor:
        return _all(found, -1)[..., self._order]


def _all(found: torch.Tensor, axis: int) -> torch.Tensor:
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, found)
    return torch.cat(parts, axis)


def _same(found: torch.Tensor) -> torch.Tensor:
    return found
