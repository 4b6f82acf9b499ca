"""Memory for large results, reused from step to step.

A fresh page costs a fault and is cleared by the system before its first use, which for tensors of
ten megabytes and more takes longer than computing them; and the C library returns such memory to
the system as soon as it is free. Here it is kept while training requests the same sizes again.
"""

from __future__ import annotations

import math
import sys
from threading import Lock

import numpy as np
import torch
from torch import Tensor

MIN_SIZE = 1 << 18  # values; below a megabyte the C library is fast enough
CACHE_LINE = 16  # values; every buffer begins at a cache line
MAX_IDLE_REQUESTS = 1024  # some training steps, after which an unused buffer is released


class Buffers:
    """Hands out uninitialised float32 tensors on the CPU, and reuses their memory.

    A buffer is free again when the last tensor on it is deleted. It serves requests of its own size
    down to a third of it, so that what is large early in a step is reused later in it.
    """

    def __init__(self) -> None:
        self._arrays: list[np.ndarray] = []
        self._last_use: list[int] = []
        self._requests = 0
        self._lock = Lock()

    def take(self, *shape: int) -> Tensor:
        """Return a tensor of that shape with undefined values."""
        size = math.prod(shape)
        if size < MIN_SIZE:
            return torch.empty(shape)
        with self._lock:
            self._requests += 1
            index = self._find(size)
            if index is None:
                self._release_idle()
                self._arrays.append(np.empty(size + CACHE_LINE, np.float32))
                self._last_use.append(0)
                index = len(self._arrays) - 1
            self._last_use[index] = self._requests
            begin = -self._arrays[index].ctypes.data % (4 * CACHE_LINE) // 4
            # The slice keeps the array alive, and the tensor the slice.
            return torch.from_numpy(self._arrays[index][begin : begin + size]).view(shape)

    @property
    def nbytes(self) -> int:
        """Bytes in all buffers, without the alignment to a cache line."""
        return sum(array.nbytes - 4 * CACHE_LINE for array in self._arrays)

    def _find(self, size: int) -> int | None:
        """Return the index of the smallest free buffer that fits."""
        fits = [
            (self._arrays[index].size, index)
            for index in range(len(self._arrays))
            if size <= self._arrays[index].size - CACHE_LINE <= 3 * size and self._is_free(index)
        ]
        return min(fits)[1] if fits else None

    def _is_free(self, index: int) -> bool:
        # The list and the argument of getrefcount; every tensor on it adds one, and so would a
        # variable here.
        return sys.getrefcount(self._arrays[index]) <= 2

    def _release_idle(self) -> None:
        """Release the free buffers that were not used for many requests."""
        kept = [
            index
            for index in range(len(self._arrays))
            if self._requests - self._last_use[index] <= MAX_IDLE_REQUESTS
            or not self._is_free(index)
        ]
        self._arrays = [self._arrays[index] for index in kept]
        self._last_use = [self._last_use[index] for index in kept]


buffers = Buffers()
