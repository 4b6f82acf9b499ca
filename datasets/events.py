"""Recordings of events in memory, one after another in flat arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..coding.samples import EventBatch


@dataclass(frozen=True)
class Events:
    """N recordings of events; recording i has the events `start[i]` to `start[i] + count[i]`.

    Attributes:
        t: µs since the beginning of the recording, not decreasing in it, `[E]`.
        x, y: column and row, `[E]`.
        p: polarity, 0 or 1, `[E]`.
        start, count: first event and number of events of each recording, int64 `[N]`.
        sensor: (P, H, W).
        duration: the length of a recording in µs.
    """

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray
    start: np.ndarray
    count: np.ndarray
    sensor: tuple[int, int, int]
    duration: int

    def __len__(self) -> int:
        return len(self.start)

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of recordings and the shape of the sensor, (N, 2, H, W)."""
        return (len(self), *self.sensor)

    def take(self, indices: Tensor) -> Events:
        """Return the recordings at `indices` `[M]`, without copying events."""
        chosen = indices.numpy()
        return replace(self, start=self.start[chosen], count=self.count[chosen])

    def batch(self, indices: Tensor) -> EventBatch:
        """Return the recordings at `indices` `[B]` as a batch."""
        chosen = indices.numpy()
        counts = self.count[chosen]
        sample = np.repeat(np.arange(len(chosen)), counts)
        first = np.cumsum(counts) - counts
        index = np.arange(counts.sum()) - first[sample] + self.start[chosen][sample]
        t, x, y, p = (
            torch.from_numpy(np.ascontiguousarray(each[index], np.int64))
            for each in (self.t, self.x, self.y, self.p)
        )
        numbers = torch.from_numpy(sample)
        return EventBatch(t, x, y, p, numbers, len(chosen), self.sensor, self.duration)

    def update(self, digest: hashlib._Hash) -> None:
        """Add all events of all recordings to a hash, in their order."""
        digest.update(repr((self.shape, self.duration)).encode())
        for start, count in zip(self.start.tolist(), self.count.tolist(), strict=True):
            for values in (self.t, self.x, self.y, self.p):
                part = values[start : start + count]
                digest.update(np.ascontiguousarray(part, np.int64).data)
