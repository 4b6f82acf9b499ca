"""Class labels as people save them: numbers from 0 or 1, whole floats, text, one-hot, `[N, 1]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...core.errors import DataError
from .labelled_arrays import (
    PARTS,
    bad,
    check_known_labels,
    class_labels,
    class_names,
    given_names,
)

NUMBERS = "number the classes 0, 1, 2, ... and save them as int64, or save their names as text"


class Labels(NamedTuple):
    """The classes of the samples.

    Attributes:
        parts: int64 `[N]` by part.
        classes: their names.
        notes: what was done to the labels, a line each.
    """

    parts: dict[str, Tensor]
    classes: list[str]
    notes: tuple[str, ...]


def read_labels(path: str, arrays: Mapping[str, np.ndarray], noun: str) -> Labels:
    """Return the classes in `y_train` and, if present, `y_test` and `y_validation`.

    A label is a whole number 0..K-1 or 1..K, also as a float, true or false, or text: `[N]` or
    `[N, 1]`; or a row of one-hot `[N, K]`. Each class has a training sample. `classes` names them;
    without it, text is in alphabetical order, or in that of its numbers.

    Args:
        path: of the file, for messages.
        arrays: its content.
        noun: what a label is of: "image".

    Raises:
        DataError: fractions, negative numbers, gaps, one class only, several classes of a sample,
            another kind of labels in another part.
    """
    notes: dict[str, None] = {}  # each once, in order
    plain = {
        part: one_each(path, f"y_{part}", arrays[f"y_{part}"], noun, notes)
        for part in PARTS
        if f"y_{part}" in arrays
    }
    for part, labels in plain.items():
        if (labels.dtype.kind == "U") != (plain["train"].dtype.kind == "U"):
            raise bad(
                path,
                f"has other labels in y_{part} than in y_train",
                f"{labels.dtype} and {plain['train'].dtype}",
                "save the labels of all parts as numbers, or all as text",
            )
    if plain["train"].dtype.kind == "U":
        return _from_text(path, plain, arrays.get("classes"), tuple(notes))
    return _from_numbers(path, plain, arrays, tuple(notes))


def _from_numbers(
    path: str,
    plain: dict[str, np.ndarray],
    arrays: Mapping[str, np.ndarray],
    notes: tuple[str, ...],
) -> Labels:
    first = first_number(plain, arrays.get("classes"))
    parts = {
        part: class_labels(path, f"y_{part}", labels, lowest=first) - first
        for part, labels in plain.items()
    }
    classes = class_names(path, arrays, np.unique(parts["train"].numpy()))
    if first:
        notes += (f"labels 1 to {len(classes)} are read as classes 0 to {len(classes) - 1}",)
        if "classes" not in arrays:
            classes = [str(int(name) + first) for name in classes]
    for part, labels in parts.items():
        check_known_labels(path, part, labels, len(classes))
    return Labels(parts, classes, notes)


def first_number(plain: dict[str, np.ndarray], names: np.ndarray | None) -> int:
    """Return 1 if the labels are 1..K without gaps, and 0 otherwise."""
    present = np.unique(plain["train"])
    from_one = len(present) > 1 and present[0] == 1 and present[-1] == len(present)
    other_zero = any((labels == 0).any() for labels in plain.values())
    other_names = names is not None and names.ndim == 1 and len(names) > len(present)
    return int(from_one and not other_zero and not other_names)


def _from_text(
    path: str,
    plain: dict[str, np.ndarray],
    names: np.ndarray | None,
    notes: tuple[str, ...],
) -> Labels:
    present = np.unique(plain["train"]).tolist()
    numbered = all(name.isdecimal() for name in present)
    if len(present) < 2:
        raise bad(path, "has only one class", f"y_train is always {present[0]!r}", "give two")
    classes = given_names(path, names, len(present))
    if classes is None:
        classes = sorted(present, key=int) if numbered else present
        order = "in the order of their numbers" if numbered else "in alphabetical order"
        notes += (f"labels are text: {len(classes)} classes, {order}",)
    index = {name: number for number, name in enumerate(classes)}
    parts = {}
    for part, labels in plain.items():
        for name in np.unique(labels).tolist():
            if name not in index:
                raise bad(
                    path,
                    f"has an unknown class in y_{part}: {name}",
                    f"the classes are {', '.join(classes[:8])}{', ...' * (len(classes) > 8)}",
                    "give each class a training sample, and its name in classes if that is saved",
                )
        parts[part] = torch.tensor([index[name] for name in labels.tolist()], dtype=torch.int64)
    lacking = [name for name in classes if name not in present]
    if lacking:
        raise bad(
            path,
            f"has no training sample of class {lacking[0]}",
            f"classes names {len(classes)}, y_train has {len(present)}",
            "leave out what has no sample",
        )
    return Labels(parts, classes, notes)


def one_each(
    path: str, name: str, array: np.ndarray, noun: str, notes: dict[str, None]
) -> np.ndarray:
    """Return one label a sample, integers or text `[N]`; what is done to them goes to `notes`."""
    if array.ndim == 2 and array.shape[1] == 1:
        notes["labels of shape [N, 1] are read as [N]"] = None
        array = array[:, 0]
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.dtype.kind not in "buif"):
        raise _not_one_each(path, name, array, noun, "labels are [N] or one-hot [N, K]")
    kind = array.dtype.kind
    if kind == "S":
        array = _decoded(path, name, array)
    elif kind == "f":
        array = _whole(path, name, array)
        notes["labels are whole floats, read as integers"] = None
    elif kind == "b" and array.ndim == 1:
        notes["labels are false and true, read as classes 0 and 1"] = None
    elif kind not in "buiU":
        raise bad(path, f"has labels in {name} of type {array.dtype}", "it is no class", NUMBERS)
    array = array.astype(np.int64) if kind == "b" else array
    if array.ndim == 1:
        return array
    if array.shape[1] < 2 or array.min(initial=0) < 0 or not (array.sum(1) == 1).all():
        why = "a row is no one-hot label: a single 1, otherwise 0"
        raise _not_one_each(path, name, array, noun, why)
    notes[f"labels are one-hot, of {array.shape[1]} classes"] = None
    return array.argmax(1)


def _whole(path: str, name: str, array: np.ndarray) -> np.ndarray:
    whole = np.isfinite(array) & (array == np.floor(array)) & (np.abs(array) < 2**53)
    if not whole.all():
        first = tuple(int(i) for i in np.argwhere(~whole)[0])
        raise bad(
            path,
            f"has labels in {name} that are not whole numbers",
            f"{array[first]} at index {first[0]}",
            f"{NUMBERS}; real values are learned with data.name=series-npz and "
            "task.name=regression",
        )
    return array.astype(np.int64)


def _decoded(path: str, name: str, array: np.ndarray) -> np.ndarray:
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        raise bad(
            path, f"has labels in {name} that are not UTF-8", str(error), "save text"
        ) from error


def _not_one_each(path: str, name: str, array: np.ndarray, noun: str, why: str) -> DataError:
    return bad(
        path,
        f"has {name} that is not one label per {noun}",
        f"its shape is {list(array.shape)}; {why}",
        f"give each {noun} one class; of scores, {name}.argmax(1) is the likeliest",
    )
