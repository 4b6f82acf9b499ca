"""Arrays of samples: `.npy` and `.npz` files, and arrays in memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ....coding.check import check_batch
from ....coding.samples import SampleSpec
from ....core.errors import DataError
from ....core.files import ARCHIVE_ERRORS
from ....datasets.sources.array_names import PARTS, renamed
from ....datasets.sources.labelled_arrays import given_names
from ....formats.arrays import map_npy, read_npy, read_npz
from ....formats.events.npz import COLUMNS
from ....formats.files import check_file
from .sample import Sample, Source, Unreadable
from .stated import stated_classes

NPY, ZIP = b"\x93NUMPY", b"PK\x03\x04"
SUFFIXES = (".npy", ".npz")
CHUNK = 64
MAX_ON_DISK = 2**40  # bytes of a file

Convert = Callable[[np.ndarray, str], Tensor]
"""Values `[n, ...]` of any type, and the name of the array in messages, to those of samples."""


class Labelled(NamedTuple):
    """An array of samples, with what its file states of their classes.

    Attributes:
        values: the samples.
        labels: the class of each, in one of the forms that a training takes; None if not stated.
        names: of the classes, which labels number; None if the file has none.
        array: its name in the file, if that has several arrays of samples.
    """

    values: np.ndarray
    labels: np.ndarray | None = None
    names: list[str] | None = None
    array: str = ""


def is_file_of_array(source: Source) -> bool:
    """Return whether a source is a file on disk with the suffix of an array."""
    return source.path is not None and source.suffix in SUFFIXES


def is_array(content: bytes) -> bool:
    """Return whether these are the bytes of an `.npy` or `.npz` file."""
    return content.startswith((NPY, ZIP))


def open_arrays(source: Source, content: bytes | None = None) -> list[Labelled]:
    """Return the arrays of samples of a file: the training part before the others.

    An `.npy` file on disk is read in parts, when they are used.

    Args:
        source: the file.
        content: its bytes, if they have been read.

    Raises:
        DataError: it is damaged, holds Python objects, or does not say which array to take.
    """
    try:
        if content is None and source.path is not None:
            check_file(source.path, max_size=MAX_ON_DISK)
            if source.suffix == ".npz":
                return _of_archive(read_npz(source.path), source.name)
            return [Labelled(map_npy(source.path))]
        content = source.load() if content is None else content
        if content.startswith(NPY):
            return [Labelled(read_npy(content))]
        return _of_archive(read_npz(io.BytesIO(content)), source.name)
    except ARCHIVE_ERRORS as error:
        raise DataError(
            f"{source.name} cannot be read",
            why=(str(error).splitlines() or [type(error).__name__])[0],
            remedy="save it again with numpy.save or numpy.savez; Python objects are not read",
        ) from error


def _of_archive(arrays: dict[str, np.ndarray], name: str) -> list[Labelled]:
    if "spikes" in arrays and "meta" in arrays:
        raise DataError(
            f"{name} is a spike file",
            why="the network encodes its samples itself",
            remedy="give the samples that it was encoded from",
        )
    if set(COLUMNS) <= arrays.keys():
        raise DataError(
            f"{name} holds recordings of events",
            why="it has the arrays t, x, y and p, and the network takes other samples",
            remedy="give the run of a network that was trained on recordings",
        )
    found, _ = renamed(name, arrays)
    parts = [part for part in PARTS if f"x_{part}" in found]
    if not parts and len(arrays) != 1:
        raise DataError(
            f"{name} has no array x",
            why=f"found: {', '.join(list(arrays)[:8]) or 'no arrays'}",
            remedy="name the samples x (and their classes y), or save them alone",
        )
    if not parts:
        return [Labelled(next(iter(arrays.values())))]
    classes = found.get("classes")
    is_names = classes is not None and classes.ndim == 1 and classes.dtype.kind in "USiu"
    names = given_names(name, classes, 0) if is_names else None
    return [
        Labelled(
            found[f"x_{part}"],
            found.get(f"y_{part}"),
            names,
            f"x_{part}" if len(parts) > 1 else "",
        )
        for part in parts
    ]


def samples_of(
    found: Labelled, name: str, spec: SampleSpec, labels: Sequence[str], convert: Convert
) -> Iterator[Sample | Unreadable]:
    """Return the samples of an array, which are converted a part at a time when they are used.

    Args:
        found: `[N, ...]`, or one sample without N; images with the channels last, or of one channel
            without its axis.
        name: of the file or the array.
        spec: the samples that the network takes.
        labels: names of the classes of the network.
        convert: from values to those of samples; raises a DataError.

    Raises:
        DataError: it has another shape, or no sample.
    """
    name = f"{name}:{found.array}" if found.array else name
    rows = _rows(found.values, name, spec)
    one = rows.ndim > found.values.ndim and len(rows) == 1
    names = iter([name]) if one else (f"{name}[{index}]" for index in range(len(rows)))
    of_file = np.atleast_1d(found.labels) if found.labels is not None else None
    fits = of_file is not None and len(of_file) == len(rows)
    stated = stated_classes(of_file, labels, found.names) if of_file is not None and fits else None
    return _converted(rows, stated, name, names, convert)


def _converted(
    rows: np.ndarray,
    stated: list[str | None] | None,
    name: str,
    names: Iterator[str],
    convert: Convert,
) -> Iterator[Sample | Unreadable]:
    for begin in range(0, len(rows), CHUNK):
        try:
            values = convert(rows[begin : begin + CHUNK], name)
        except DataError as error:
            yield Unreadable(name, error)
            return
        for index, value in enumerate(values, start=begin):
            yield Sample(next(names), value, None if stated is None else stated[index])


def _rows(values: np.ndarray, name: str, spec: SampleSpec) -> np.ndarray:
    """Return `[N, ...]` of the shape of the samples.

    Raises:
        DataError: it has another shape, or no sample.
    """
    expected = spec.shape if spec.steps is None else (spec.steps, *spec.shape)
    given = values.shape
    if spec.kind == "image" and expected[0] == 1 and given[-2:] == expected[1:] and len(given) < 4:
        values = values.reshape(-1, *expected)
    if spec.kind == "image" and expected not in (given, given[1:]):
        channels, height, side = expected
        if given[-3:] == (height, side, channels) and len(given) in (3, 4):
            values = np.moveaxis(values, -1, -3)
    if values.shape == expected:
        values = values[None]
    if values.shape[1:] != expected:
        _refuse_shape(given, name, spec)
    if not values.size:
        raise DataError(f"{name} holds no samples", why=f"its shape is {list(given)}")
    return values


def _refuse_shape(shape: tuple[int, ...], name: str, spec: SampleSpec) -> None:
    remedy = "save arrays of this shape"
    if spec.kind == "image":
        remedy += "; pictures (PNG, JPEG) are resized"
    try:
        check_batch(torch.empty(shape, device="meta"), spec)
    except DataError as error:
        why = f"it has the shape {list(shape)}: {error.what}"
        raise DataError(f"{name} does not fit the network", why=why, remedy=remedy) from None
    raise DataError(  # a series of another length
        f"{name} does not fit the network",
        why=f"its series have {shape[1]} steps, those of the training {spec.steps}",
        remedy="cut them to this length, or pad them as those of the training",
    )


def numpy_of(values: Any) -> np.ndarray:
    """Return an array or a tensor as an array."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
