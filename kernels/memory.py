"""Memory for large results, used again from step to step.

A fresh page costs a fault and is cleared by the system before its first use, which for tensors of
some ten megabytes takes longer than computing them, and the C library gives such memory back as
soon as it is free. Here it is kept as long as training asks for the same sizes again.
"""

from __future__ import annotations

import math
import sys
from threading import Lock

import numpy as np
import torch
from torch import Tensor

SMALLEST = 1 << 18  # values; below a megabyte the C library does well itself
LINE = 16  # values of a cache line, at whose beginning a buffer begins
PATIENCE = 1024  # requests, some steps, after which a buffer that nobody wanted is given back


class Buffers:
    """Hands out uninitialised float32 tensors on the CPU, and takes them back.

    A buffer is free again when the last tensor on it is gone. It serves requests of its own size
    down to a third of it, so that what is large early in a step is used again later in it.
    """

    def __init__(self) -> None:
        self._arrays: list[np.ndarray] = []
        self._last_use: list[int] = []
        self._requests = 0
        self._lock = Lock()

    def take(self, *shape: int) -> Tensor:
        """Return a tensor of that shape, its values undefined."""
        size = math.prod(shape)
        if size < SMALLEST:
            return torch.empty(shape)
        with self._lock:
            self._requests += 1
            index = self._find(size)
            if index is None:
                self._forget()
                self._arrays.append(np.empty(size + LINE, np.float32))
                self._last_use.append(0)
                index = len(self._arrays) - 1
            self._last_use[index] = self._requests
            begin = -self._arrays[index].ctypes.data % (4 * LINE) // 4
            # The slice keeps the array alive, and the tensor the slice.
            return torch.from_numpy(self._arrays[index][begin : begin + size]).view(shape)

    @property
    def held(self) -> int:
        """Bytes in all buffers, but for those that bring their beginnings to a cache line."""
        return sum(array.nbytes - 4 * LINE for array in self._arrays)

    def _find(self, size: int) -> int | None:
        fits = [
            (self._arrays[index].size, index)
            for index in range(len(self._arrays))
            if size <= self._arrays[index].size - LINE <= 3 * size and self._is_free(index)
        ]
        return min(fits)[1] if fits else None

    def _is_free(self, index: int) -> bool:
        # The list and the argument of getrefcount; every tensor on it adds one, and so would a
        # variable here.
        return sys.getrefcount(self._arrays[index]) <= 2

    def _forget(self) -> None:
        """Give back what has not been wanted for long."""
        kept = [
            index
            for index in range(len(self._arrays))
            if self._requests - self._last_use[index] <= PATIENCE or not self._is_free(index)
        ]
        self._arrays = [self._arrays[index] for index in kept]
        self._last_use = [self._last_use[index] for index in kept]


buffers = Buffers()
