"""What a caller in Python gives: paths, arrays, tensors, and lists of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ....core.errors import AsnnError, DataError
from . import arrays
from .find import Finder
from .reader import Reader, read_all
from .sample import Sample, Unreadable


def samples_given(reader: Reader, inputs: Any) -> Iterator[Sample | Unreadable]:
    """Yield the samples of a path, an array or a tensor, or of a list of them, in order."""
    if isinstance(inputs, str | Path | np.ndarray | Tensor):
        yield from _samples(reader, inputs, "array")
        return
    if not isinstance(inputs, Iterable):
        raise _refused(inputs)
    for number, each in enumerate(inputs):
        yield from _samples(reader, each, f"inputs[{number}]")


def _samples(reader: Reader, given: Any, name: str) -> Iterable[Sample | Unreadable]:
    if isinstance(given, str | Path):
        return read_all(reader, Finder(reader.suffixes, reader.noun).find([given]))
    if not isinstance(given, np.ndarray | Tensor):
        raise _refused(given)
    try:
        return reader.samples(arrays.Labelled(arrays.numpy_of(given)), name)
    except AsnnError as error:
        return [Unreadable(name, error)]


def _refused(given: Any) -> DataError:
    return DataError(
        f"an input is of type {type(given).__name__}",
        why="inputs are paths, NumPy arrays and tensors, or lists of them",
        remedy="give the path of the file, or numpy.asarray(x) with the shape that the network "
        "takes",
    )
