"""The steps of a code as files hold them: spikes in a byte each, steps that are equal once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from ..core.errors import DataError

FORMAT = 1
"""Of spike files with time steps."""

BLOCK = 2**22
"""Values that are converted at a time."""


@dataclass(frozen=True)
class StoredSteps:
    """The steps of a code `[T, B, ...]`: analog steps, then steps of spikes.

    Attributes:
        steps: T.
        analog: float32 `[Ta, B, ...]`, one step if all of them are equal; Ta is 0 without.
        spikes: `[T - Ta, B, ...]`; uint8 if all values are whole numbers up to 255, else float32.
    """

    steps: int
    analog: np.ndarray
    spikes: np.ndarray

    @staticmethod
    def of(code: np.ndarray, analog_steps: int, *, static: bool = False) -> StoredSteps:
        """Return the steps of a dense code.

        Args:
            code: `[T, B, ...]`.
            analog_steps: how many of its first steps hold analog values.
            static: whether all steps are equal.
        """
        analog = code[: 1 if static else analog_steps].astype(np.float32, copy=False)
        return StoredSteps(len(code), analog, code[analog_steps:])

    @property
    def analog_steps(self) -> int:
        """The number of steps that hold analog values."""
        return self.steps - len(self.spikes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the code: `[T, B, ...]`."""
        return (self.steps, *self.spikes.shape[1:])

    @property
    def is_binary(self) -> bool:
        """Whether each spike is 0 or 1."""
        parts = _parts(self.spikes)
        return all(((part == 0) | (part == 1)).all() for part in parts)

    @property
    def dtype(self) -> np.dtype:
        """Of the dense code: uint8 if all values are 0 or 1, else float32."""
        return np.dtype(np.uint8 if self.analog_steps == 0 and self.is_binary else np.float32)

    def dense(self) -> np.ndarray:
        """Return the code `[T, B, ...]`."""
        code = np.empty(self.shape, self.dtype)
        code[: self.analog_steps] = self.analog
        code[self.analog_steps :] = self.spikes
        return code

    def sample(self, index: int) -> np.ndarray:
        """Return the steps of one sample, `[T, ...]`."""
        analog, spikes = self.analog[:, index : index + 1], self.spikes[:, index : index + 1]
        return StoredSteps(self.steps, analog, spikes).dense()[:, 0]

    def write_npy(self, target: BinaryIO) -> None:
        """Write the dense code as an .npy file, a block at a time."""
        dtype = self.dtype
        header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": self.shape}
        npy.write_array_header_1_0(target, header)
        for step in range(self.analog_steps):
            _write(target, self.analog[step % len(self.analog)], dtype)
        _write(target, self.spikes, dtype)

    def arrays(self) -> dict[str, Any]:
        """Return the arrays of a spike file, with its format.

        Raises:
            DataError: a spike step holds values other than 0 and 1.
        """
        if not self.is_binary:
            raise DataError(
                "the code holds values other than 0 and 1, which packed bits cannot store",
                why="the published embedding counts spikes instead of giving binary digits",
                remedy="write .npy instead",
            )
        arrays = {
            "spikes": self.packed_spikes(),
            "shape": np.asarray(self.shape, dtype=np.int64),
            "format": FORMAT,
        }
        return {**arrays, "analog": self.analog} if self.analog_steps else arrays

    def packed_spikes(self) -> np.ndarray:
        """Return the spikes in a flat array as packed bits (numpy.packbits), uint8."""
        parts = [np.packbits(part.astype(np.uint8, copy=False)) for part in _parts(self.spikes)]
        return np.concatenate(parts) if parts else np.zeros(0, np.uint8)


def _parts(values: np.ndarray) -> Iterator[np.ndarray]:
    """Yield blocks of the values in a flat array; the size of all but the last is 8 n."""
    flat = values.reshape(-1)
    return (flat[begin : begin + BLOCK] for begin in range(0, flat.size, BLOCK))


def _write(target: BinaryIO, values: np.ndarray, dtype: np.dtype) -> None:
    for part in _parts(values):
        target.write(np.ascontiguousarray(part, dtype).data)
