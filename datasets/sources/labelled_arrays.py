"""Arrays of samples and labels in an .npz file, as x_train, y_train and others."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.errors import DataError
from ...core.reading import open_regular, read_regular, why_unreadable
from ...formats.arrays import MAX_FILE, read_npy, read_npz
from .array_names import PARTS, renamed

SAVE = "save it with np.savez(path, x_train=..., y_train=...)"
Shape = Sequence[int]


def read_arrays(path: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the arrays of a file, or of the .npy files of a folder, and notes on renamed ones.

    They are `x_train`, `y_train`, and both or none of the other parts. Other common names mean the
    same, see `array_names`.

    Raises:
        DataError: the file is not an .npz, is damaged, or an array is missing.
    """
    found = read_any_arrays(path)
    arrays, notes = renamed(path, found)
    for part in PARTS:
        if part == "train" or {f"x_{part}", f"y_{part}"} & arrays.keys():
            _require(path, found, arrays, part)
    return arrays, notes


def bad(path: Any, what: str, why: str, remedy: str = "") -> DataError:
    """Return the error for a file with invalid arrays."""
    return DataError(f"{path} {what}", why=why, remedy=remedy)


def read_any_arrays(path: str) -> dict[str, np.ndarray]:
    """Return the arrays of a file, or of the .npy files of a folder, by the names that they have.

    Raises:
        DataError: the file is not an .npz, or is damaged.
    """
    return _read(Path(path).expanduser())


def _read(path: Path) -> dict[str, np.ndarray]:
    if path.is_dir():
        return _read_folder(path)
    try:
        with open_regular(path, max_size=MAX_FILE) as file:
            magic = file.read(4)
    except OSError as error:
        raise bad(path, "could not be read", error.strerror or str(error)) from error
    except ValueError as error:
        raise bad(path, "could not be read", str(error), "name an .npz file") from error
    try:
        if magic == b"\x93NUM":
            remedy = f"np.savez('{path.stem}.npz', x=np.load('{path.name}'), y=...) with the labels"
            raise bad(path, "has no labels", "an .npy file is one array", remedy)
        if magic != b"PK\x03\x04":
            raise bad(path, "is not an .npz file", "it is not a zip archive", SAVE)
        return read_npz(path)
    except OSError as error:
        raise bad(path, "could not be read", error.strerror or str(error)) from error
    except zipfile.BadZipFile as error:
        if "CRC" in str(error):
            raise bad(path, "is corrupt", str(error), "restore it from its source") from error
        why = f"{error}; probably an interrupted download or copy"
        raise bad(path, "ends too early", why, "get or save it again") from error
    except ValueError as error:
        if "allow_pickle" in str(error):
            why = "an array holds Python objects, which are not read: they can run code"
            remedy = "save numbers and strings, e.g. .astype(np.uint8) or .astype(str)"
            raise bad(path, "holds an object array", why, remedy) from error
        raise bad(path, "is corrupt", str(error), SAVE) from error
    except (zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise bad(path, "is corrupt", str(error), "restore it from its source") from error


def _read_folder(folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays of the .npy files in a folder, by their names."""
    found = {}
    for path in sorted(folder.glob("*.npy")):
        try:
            found[path.stem] = read_npy(read_regular(path, max_size=MAX_FILE))
        except (OSError, ValueError) as error:
            raise bad(path, "could not be read", why_unreadable(error), "save it again") from error
    if not found:
        why = "a folder of arrays has the files x_train.npy and y_train.npy"
        raise bad(folder, "holds no .npy files", why, SAVE)
    return found


def _require(path: str, found: Mapping[str, Any], arrays: Mapping[str, Any], part: str) -> None:
    missing = [name for name in (f"x_{part}", f"y_{part}") if name not in arrays]
    if missing:
        present = ", ".join(found) or "none"
        raise bad(path, f"has no array {' and no '.join(missing)}", f"found: {present}", SAVE)


def check_one_each(path: str, part: str, samples: Tensor, targets: np.ndarray, noun: str) -> None:
    """Refuse a part with more or fewer targets than samples.

    Raises:
        DataError: with both numbers.
    """
    labels = len(np.atleast_1d(targets))
    if len(samples) != labels:
        raise bad(
            path,
            f"has x_{part} and y_{part} of different lengths",
            f"{len(samples)} {noun}, {labels} labels",
            f"give each of the {noun} one label",
        )


def check_finite(path: str, name: str, array: np.ndarray, noun: str) -> None:
    """Refuse NaN and infinite values.

    Args:
        path: of the file.
        name: of the array.
        array: floats, `[N, ...]`.
        noun: what one of the N is, in messages: "image".

    Raises:
        DataError: with their number and the first of them.
    """
    finite = np.isfinite(array)
    if not finite.all():
        index = int(np.argwhere(~finite)[0][0])
        count = int(array.size - finite.sum())
        kind = "NaN" if np.isnan(array).any() else "infinite values"
        raise bad(
            path,
            f"has {kind} in {name}",
            f"{count} values, the first in {noun} {index}",
            f"remove what is not a number from {name}, or replace the values",
        )


def class_labels(path: str, name: str, array: np.ndarray, *, lowest: int = 0) -> Tensor:
    """Return class labels as int64.

    Args:
        path: of the file.
        name: of the array.
        array: integers.
        lowest: 0, or -1 where -1 stands for no label.

    Raises:
        DataError: they are no integers, or out of range.
    """
    if array.dtype.kind not in "iu":
        raise bad(
            path,
            f"has labels in {name} that are not integers",
            f"their type is {array.dtype}",
            "number the classes 0, 1, 2, ... and save them as int64",
        )
    if array.size and (array.min() < lowest or array.max() > 2**31):
        extreme = array.min() if array.min() < lowest else array.max()
        why = f"label {extreme} at index {int(np.argwhere(array == extreme)[0][0])}"
        remedy = "number the classes 0, 1, 2, ..."
        raise bad(path, f"has labels out of range in {name}", why, remedy)
    return torch.from_numpy(array.astype(np.int64))


def class_names(path: str, arrays: Mapping[str, np.ndarray], present: np.ndarray) -> list[str]:
    """Return the names of the classes: those in `classes`, or their numbers.

    Args:
        path: of the file.
        arrays: its content.
        present: the labels of the training samples, each once, in order.

    Raises:
        DataError: one class only, a class without training samples, too few names.
    """
    count = int(present[-1]) + 1
    names = given_names(path, arrays.get("classes"), count)
    expected = len(names) if names else count
    if len(present) < expected:
        missing = next((i for i, label in enumerate(present.tolist()) if label != i), len(present))
        name = f" ({names[missing]})" if names else ""
        raise bad(
            path,
            f"has no training sample of class {missing}{name}",
            f"the labels in y_train go up to {present[-1]}, {len(present)} of them are used",
            "number the classes 0, 1, 2, ... without gaps",
        )
    if expected < 2:
        raise bad(path, "has only one class", "y_train is always 0", "give two or more")
    return names or [str(label) for label in present]


def given_names(path: str, array: np.ndarray | None, count: int) -> list[str] | None:
    """Return the names in the array `classes`, None without one.

    Raises:
        DataError: they are no text, or fewer than `count`.
    """
    if array is None:
        return None
    if array.ndim != 1 or len(array) < count:
        shape = list(array.shape)
        why = f"its shape is {shape}, the labels go up to {count - 1}"
        raise bad(path, "has too few names in classes", why, "save one name per class")
    if array.dtype.kind not in "USiu":
        why = f"classes has the type {array.dtype}"
        raise bad(path, "has names of classes that are not text", why, "save them as text")
    try:
        return [name.decode() if isinstance(name, bytes) else str(name) for name in array.tolist()]
    except UnicodeDecodeError as error:
        why = f"classes: {error}"
        raise bad(path, "has names of classes that are not UTF-8", why, "save text") from error


def check_known_labels(path: str, part: str, labels: Tensor, count: int) -> None:
    """Refuse labels of a part that no training sample has.

    Raises:
        DataError: with the largest of them.
    """
    if len(labels) == 0 or labels.max() >= count:
        raise bad(
            path,
            f"has a wrong label range in y_{part}",
            f"label {labels.max()}, but y_train has 0..{count - 1}",
            "use the labels of the training samples",
        )


def check_same_shape(
    path: str, part: str, shape: Shape, train: Shape, noun: str, layout: str
) -> None:
    """Refuse samples of another shape than those for training; both are without N.

    Raises:
        DataError: with both shapes.
    """
    if list(shape) != list(train):
        raise bad(
            path,
            f"has {noun} of another size in x_{part}",
            f"{list(shape)}, those in x_train are {list(train)}",
            f"give all {noun} the same shape {layout}",
        )
