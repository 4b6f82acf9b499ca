"""Accuracy and what comes with it, on one split of a data set."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import distributed
from torch.nn.functional import cross_entropy

from ..datasets.base import Split
from ..datasets.batches import Batches
from ..models.network import SpikingNetwork
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

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)


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
    correct = torch.zeros(steps or model.coding.steps, dtype=torch.int64)
    confusion = torch.zeros(classes * classes, dtype=torch.int64)
    sums = torch.zeros(2, dtype=torch.float64)  # of the loss, and of samples
    begin = time.perf_counter()
    network = model.frozen()
    generators = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(generators), SpikeRates(network) as rates:
        torch.manual_seed(0)
        for x, targets in batches:
            each_batch()
            if len(x) == 0:  # a last batch smaller than there are processes
                continue
            y = targets.first
            logits = network(x, steps)
            counts = torch.arange(1, len(logits) + 1, device=logits.device).view(-1, 1, 1)
            so_far = logits.float().cumsum(0) / counts
            answers = so_far.argmax(2)
            correct += (answers == y).sum(1).cpu()
            confusion += torch.bincount(y * classes + answers[-1], minlength=classes**2).cpu()
            sums[0] += float(cross_entropy(so_far[-1], y, reduction="sum"))
            sums[1] += len(y)
        if part[1] > 1:
            correct, confusion, sums = (summed(found) for found in (correct, confusion, sums))
            rates.add_up(summed)
    loss, samples = float(sums[0]), int(sums[1])
    seconds = time.perf_counter() - begin
    return Evaluation(
        samples=samples,
        accuracy=correct[-1].item() / max(samples, 1),
        loss=loss / max(samples, 1),
        accuracy_per_step=(correct / max(samples, 1)).tolist(),
        confusion=confusion.view(classes, classes).tolist(),
        spike_rate=rates.mean(),
        spike_rates=rates.by_layer(),
        spikes_per_sample=rates.total() / max(samples, 1),
        samples_per_second=samples / seconds,
    )


def summed(found: torch.Tensor) -> torch.Tensor:
    """Return the sum of a tensor over all processes."""
    total = found.clone()
    distributed.all_reduce(total)
    return total
