"""Exact spike times as files hold them: the spikes alone, each sample's in the order of time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

FORMAT = 2
"""Of spike files with exact times."""


@dataclass(frozen=True)
class StoredTimes:
    """The exact spike times of B samples.

    Attributes:
        step_shape: of the addresses of a sample, such as (C, H, W).
        times: of all spikes, float64 `[E]`; those of a sample ascending, simultaneous ones in the
            order of addresses.
        address: the number of the address of each, in the flat `step_shape`, int64 `[E]`.
        offsets: sample b has the spikes `offsets[b]` to `offsets[b + 1]`, int64 `[B + 1]`.
        most: S, at least the greatest number of spikes of an address.
    """

    step_shape: tuple[int, ...]
    times: np.ndarray
    address: np.ndarray
    offsets: np.ndarray
    most: int

    @staticmethod
    def of(code: np.ndarray) -> StoredTimes:
        """Return the spikes of a dense code `[1, B, ..., S]`, +inf for none."""
        _, samples, *step_shape, most = code.shape
        flat = code.reshape(samples, math.prod(step_shape), most)
        sample, address, rank = np.nonzero(np.isfinite(flat))
        times = flat[sample, address, rank].astype(np.float64)
        order = np.lexsort((address, times, sample))
        offsets = np.concatenate([[0], np.bincount(sample, minlength=samples).cumsum()])
        return StoredTimes(
            tuple(step_shape), times[order], address[order], offsets.astype(np.int64), most
        )

    @staticmethod
    def joined(parts: Sequence[StoredTimes]) -> StoredTimes:
        """Return the samples of one or more parts, in order."""
        ends = np.cumsum([0, *(len(part.times) for part in parts)])
        begins = [part.offsets[:-1] + end for part, end in zip(parts, ends, strict=False)]
        return StoredTimes(
            parts[0].step_shape,
            np.concatenate([part.times for part in parts]),
            np.concatenate([part.address for part in parts]),
            np.concatenate([*begins, ends[-1:]]),
            max(part.most for part in parts),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the dense code: `[1, B, ..., S]`."""
        return (1, len(self.offsets) - 1, *self.step_shape, self.most)

    def sample(self, index: int) -> np.ndarray:
        """Return the times of one sample, `[..., S]` float64, ascending, +inf behind the last."""
        begin, end = self.offsets[index : index + 2]
        address, times = self.address[begin:end], self.times[begin:end]
        order = np.argsort(address, kind="stable")  # times stay ascending
        address = address[order]
        rank = np.arange(len(address)) - np.searchsorted(address, address)
        found = np.full((math.prod(self.step_shape), self.most), np.inf)
        found[address, rank] = times[order]
        return found.reshape(*self.step_shape, self.most)

    def counts(self) -> np.ndarray:
        """Return the number of spikes of each address that fires, over all samples."""
        number = self._sample() * math.prod(self.step_shape) + self.address
        return np.unique(number, return_counts=True)[1]

    def _sample(self) -> np.ndarray:
        """Return the sample of each spike."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def dense(self) -> np.ndarray:
        """Return the code `[1, B, ..., S]`, float64."""
        code = np.empty(self.shape)
        for index in range(self.shape[1]):
            code[0, index] = self.sample(index)
        return code

    def arrays(self) -> dict[str, Any]:
        """Return the arrays of a spike file, with its format."""
        return {
            "times": self.times,
            "address": self.address,
            "offsets": self.offsets,
            "shape": np.asarray(self.shape, dtype=np.int64),
            "format": FORMAT,
        }

    @staticmethod
    def from_arrays(arrays: dict[str, np.ndarray]) -> StoredTimes:
        """Return the spikes in the arrays of a file.

        Raises:
            KeyError: an array is missing.
            ValueError: the arrays contradict each other.
        """
        shape = tuple(int(n) for n in arrays["shape"])
        if len(shape) < 4 or shape[0] != 1 or min(shape) < 0:
            raise ValueError(f"exact times have a shape (1, samples, ..., spikes), not {shape}")
        kinds = {"times": "f", "address": "iu", "offsets": "iu"}
        for name, kind in kinds.items():
            if arrays[name].ndim != 1 or arrays[name].dtype.kind not in kind:
                raise ValueError(f"{name} is {arrays[name].dtype} {list(arrays[name].shape)}")
        found = StoredTimes(
            shape[2:-1],
            arrays["times"].astype(np.float64),
            arrays["address"].astype(np.int64),
            arrays["offsets"].astype(np.int64),
            shape[-1],
        )
        found._check(shape[1])
        return found

    def _check(self, samples: int) -> None:
        offsets, number = self.offsets, len(self.times)
        ends = len(offsets) == samples + 1 and offsets[0] == 0 and offsets[-1] == number
        if not ends or np.any(np.diff(offsets) < 0) or len(self.address) != number:
            raise ValueError(f"the offsets do not divide {number:,} spikes into {samples} samples")
        places = math.prod(self.step_shape)
        if number and not (self.address.min() >= 0 and self.address.max() < places):
            raise ValueError(f"an address is outside of 0 to {places - 1}")
        if not np.isfinite(self.times).all():
            raise ValueError("a spike time is not finite")
        falls = (np.diff(self.times) < 0) & (np.diff(self._sample()) == 0)
        if falls.any():
            raise ValueError("the spikes of a sample are not in the order of time")
        counts = self.counts()
        if number and counts.max() > self.most:
            raise ValueError(f"an address has {counts.max()} spikes, the shape {self.most}")

    def write_npy(self, target: BinaryIO) -> None:
        """Write the dense code as an .npy file, a sample at a time."""
        descr = npy.dtype_to_descr(np.dtype(np.float64))
        header = {"descr": descr, "fortran_order": False, "shape": self.shape}
        npy.write_array_header_1_0(target, header)
        for index in range(self.shape[1]):
            target.write(np.ascontiguousarray(self.sample(index)).data)
