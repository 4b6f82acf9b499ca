"""NumPy arrays as pixels, by their type."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ....core.errors import DataError

Refuse = Callable[[str, str, str], DataError]
"""`(what, why, remedy)` to the error; `what` is OUTSIDE, or `of type ...`."""

OUTSIDE = "values outside [0, 1]"

TYPES = "images are uint8 (0..255), uint16 (0..65535) or floats in [0, 1]"
TOLERANCE = 1e-6
"""Rounding beyond [0, 1] that is clipped: some units of the last place of float32."""


def pixels_of(array: np.ndarray, name: str, refuse: Refuse) -> np.ndarray:
    """Return pixels as uint8, or as float32 in [0, 1].

    uint8 stays, uint16 is divided by 65535, floats must lie in [0, 1] up to a rounding error of
    1e-6, which is clipped.

    Args:
        array: finite if it holds floats; at least one value.
        name: of the array in messages and remedies.
        refuse: makes the error.

    Raises:
        DataError: another type, or values outside [0, 1].
    """
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "u" and size == 1:
        return array
    if kind == "u" and size == 2:
        return array.astype(np.float32) / np.float32(65535)
    if kind == "f":
        return _unit(array, name, refuse)
    raise refuse(f"of type {array.dtype}", *_why_and_remedy(array, name))


def _unit(array: np.ndarray, name: str, refuse: Refuse) -> np.ndarray:
    low, high = array.min(), array.max()
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        raise refuse(
            OUTSIDE,
            f"they go from {float(low):.9g} to {float(high):.9g}",
            f"scale it: divide by the largest possible value, such as {name} / 255, or "
            f"({name} - {name}.min()) / ({name}.max() - {name}.min())",
        )
    values = array.astype(np.float32)
    return values.clip(0, 1) if low < 0 or high > 1 else values


def _why_and_remedy(array: np.ndarray, name: str) -> tuple[str, str]:
    """Return why an array cannot be read, and a line that keeps its values."""
    kind = array.dtype.kind
    if kind == "b":
        return f"{TYPES}", f"write true as 1.0: {name}.astype(numpy.float32)"
    if kind == "c":
        why = f"{TYPES}; complex numbers have no order"
        return why, f"take the magnitude: numpy.abs({name}) / numpy.abs({name}).max()"
    if kind in "SU":
        return f"{TYPES}; this is text", "save the pixels instead of names or labels"
    if kind not in "iu":
        return f"{TYPES}", "save the pixels as one array of numbers"
    low, high = int(array.min()), int(array.max())
    why = f"{TYPES}; the values go from {low} to {high}"
    if low < 0:
        return why, f"scale it: ({name} - {name}.min()) / ({name}.max() - {name}.min())"
    if high <= 255:
        return why, f"if 255 is white, {name}.astype(numpy.uint8) keeps each value"
    if high <= 65535:
        return why, f"if 65535 is white, {name}.astype(numpy.uint16) keeps each value"
    return why, f"scale it: {name} / {name}.max()"
