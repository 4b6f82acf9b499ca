"""What the comparison needs of a file, whatever its format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from ...core.errors import DataError
from ...formats.errors import sanitize
from ..graph.ir import Array, Shape


class Outputs(NamedTuple):
    """What a file computes of a code.

    Attributes:
        layers: spikes of its neurons by the name of their node, `[T, B, n]`, in order.
        steps: the output of each step `[T, B, K]`; None if it gives an answer alone.
        answer: `[B, K]`; None if it gives the output of each step.
    """

    layers: dict[str, Array]
    steps: Array | None
    answer: Array | None


class OtherFile(Protocol):
    """A file that is run by what it says, not by the metadata of an export.

    Attributes:
        in_shape: of one frame.
        runtime: that runs it.
        about: the runtime, for the report.
        notes: what the file does not say, and what is taken instead.
        ends_with_spikes: whether its output is the spikes of neurons; None if it does not say.
    """

    in_shape: Shape
    runtime: str
    about: dict[str, Any]
    notes: list[str]
    ends_with_spikes: bool | None

    @property
    def layers(self) -> dict[str, int]:
        """The number of neurons of each layer that it gives, in order."""
        ...

    def run(self, code: Array) -> Outputs:
        """Return what the file computes of a code `[T, B, ...]`, from rest.

        Raises:
            AsnnError: it cannot be run.
        """
        ...


def by_step(values: Array) -> Array:
    """Reshape `[T, B, ...]` to `[T, B, F]`, also of no steps or samples."""
    return values.reshape(*values.shape[:2], math.prod(values.shape[2:]))


def is_binary(values: Array) -> bool:
    """Return whether all values are 0 or 1."""
    return bool(((values == 0) | (values == 1)).all())


def shown(shape: Sequence[Any]) -> str:
    """Return a shape as text."""
    return f"[{', '.join(str(size) for size in shape)}]"


def not_comparable(path: Path | str, why: str, remedy: str = "") -> DataError:
    """Return the error for a file that cannot be given the input of a network, or compared."""
    return DataError(f"{sanitize(path)} cannot be compared", why=why, remedy=remedy)


def same_size(shape: Sequence[int], other: Shape) -> bool:
    """Return whether two shapes are equal when they are flattened."""
    return math.prod(int(size) for size in np.ravel(np.asarray(shape, int))) == math.prod(other)
