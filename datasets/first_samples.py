"""The first samples of a data set, on which networks are calibrated."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ..coding.samples import Batch
from .base import DataSet
from .batches import Batches

BATCH = 64  # samples at a time


def first_samples(
    data: DataSet, samples: int, device: torch.device, workers: int = 0
) -> Iterator[tuple[Batch, int]]:
    """Yield the first training samples in their stored order, without augmentation, in batches.

    Args:
        data: the data set.
        samples: how many.
        device: of the batches.
        workers: processes that load samples from disk.

    Yields:
        A batch, and the number of its samples that count: of the last one not all may.
    """
    batches = Batches(
        data.train, batch_size=BATCH, full_scale=data.full_scale, device=device, workers=workers
    )
    left = samples
    for x, _ in batches:
        yield x, min(left, len(x))
        left -= len(x)
        if left <= 0:
            return
