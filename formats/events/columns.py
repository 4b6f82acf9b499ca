"""Columns of events from files of named arrays (NPZ, HDF5), in the types of `Recording`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import InvalidFile
from .recording import Size, check_inside

MAX_COORDINATE = 1 << 24

Columns = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def event_columns(arrays: Mapping[str, np.ndarray], size: Size | None = None) -> Columns:
    """Return t int64, x int32, y int32, p uint8, each [E].

    Raises:
        InvalidFile: they are not columns of whole numbers of one length, a coordinate is negative
            or beyond the size, or a polarity is neither 0 nor 1.
    """
    t, x, y, p = (arrays[name] for name in ("t", "x", "y", "p"))
    check_whole_numbers("t", t, None)
    for name in ("x", "y", "p"):
        check_whole_numbers(name, arrays[name], len(t))
    if t.dtype.kind == "u" and t.dtype.itemsize == 8 and len(t) and int(t.max()) >= 1 << 63:
        raise InvalidFile("the times t go beyond 2⁶³ µs")
    for name in ("x", "y", "p"):
        _check_range(name, arrays[name], 2 if name == "p" else MAX_COORDINATE)
    check_inside(x, y, size)
    return t.astype(np.int64), x.astype(np.int32), y.astype(np.int32), p.astype(np.uint8)


def check_whole_numbers(name: str, values: np.ndarray, length: int | None) -> None:
    """Refuse an array that is no column of `length` whole numbers.

    Raises:
        InvalidFile: with its type and shape.
    """
    if values.dtype.kind not in "iub" or values.ndim != 1:
        shape = list(values.shape)
        raise InvalidFile(f"{name} is {values.dtype} {shape}, not a column of whole numbers")
    if length is not None and len(values) != length:
        raise InvalidFile(f"{name} has {len(values):,} values, not {length:,}")


def _check_range(name: str, values: np.ndarray, limit: int) -> None:
    if len(values) and (int(values.min()) < 0 or int(values.max()) >= limit):
        first = int(np.argmax((values < 0) | (values >= limit)))
        wanted = "0 or 1" if limit == 2 else f"between 0 and {limit:,}"
        raise InvalidFile(f"event {first} has {name} = {values[first]}, not {wanted}")
