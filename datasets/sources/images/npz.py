"""Arrays in one .npz file."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ....core.errors import DataError
from ....formats.arrays import read_npz
from ...base import Source, Split

REQUIRED = ("x_train", "y_train")
LAYOUT = "[N, H, W] or [N, C, H, W]"


def load_npz(*, path: str) -> Source:
    """Return the arrays `x_train`, `y_train` and, if present, `x_test`, `y_test` of a file.

    Images are `[N, H, W]` or `[N, C, H, W]`, uint8 or floats in [0, 1]; labels are `[N]`,
    integers 0..K-1, each with a training sample. `x_validation` and `y_validation` are used
    instead of a part of the training samples; `classes` names the K classes.

    Raises:
        DataError: the file is not an .npz, or an array is missing or invalid.
    """
    arrays = _read(Path(path).expanduser())
    for part in ("train", "test", "validation"):
        if part == "train" or {f"x_{part}", f"y_{part}"} & arrays.keys():
            _require(path, arrays, part)
    train = _split(path, arrays, "train")
    present = np.unique(train.targets.numpy())
    names = _class_names(path, arrays.get("classes"), count=int(present[-1]) + 1)
    _check_contiguous(path, present, names, int(present[-1]) + 1)
    parts: dict[str, Split | None] = {"test": None, "validation": None}
    for part in parts:
        if f"x_{part}" in arrays:
            parts[part] = split = _split(path, arrays, part)
            _check_like_training(path, part, split, train, len(present))
    return Source(
        train,
        parts["test"],
        names or [str(label) for label in present],
        validation=parts["validation"],
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as file:
            magic = file.read(4)
        if magic != b"PK\x03\x04":
            raise _bad(path, "is not an .npz file", "it is not a zip archive", _SAVE)
        return read_npz(path)
    except OSError as error:
        raise _bad(path, "could not be read", error.strerror or str(error)) from error
    except zipfile.BadZipFile as error:
        if "CRC" in str(error):
            raise _bad(path, "is corrupt", str(error), "restore it from its source") from error
        why = f"{error}; probably an interrupted download or copy"
        raise _bad(path, "ends too early", why, "get or save it again") from error
    except ValueError as error:
        if "allow_pickle" in str(error):
            why = "an array holds Python objects, which are not read: they can run code"
            remedy = "save numbers and strings, e.g. .astype(np.uint8) or .astype(str)"
            raise _bad(path, "holds an object array", why, remedy) from error
        raise _bad(path, "is corrupt", str(error), _SAVE) from error
    except (zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _bad(path, "is corrupt", str(error), "restore it from its source") from error


_SAVE = "save it with np.savez(path, x_train=..., y_train=...)"


def _bad(path: Any, what: str, why: str, remedy: str = "") -> DataError:
    return DataError(f"{path} {what}", why=why, remedy=remedy)


def _require(path: str, arrays: dict[str, Any], part: str) -> None:
    missing = [name for name in (f"x_{part}", f"y_{part}") if name not in arrays]
    if missing:
        present = ", ".join(arrays) or "none"
        raise _bad(path, f"has no array {' and no '.join(missing)}", f"found: {present}", _SAVE)


def _split(path: str, arrays: dict[str, np.ndarray], part: str) -> Split:
    images = _images(path, f"x_{part}", arrays[f"x_{part}"])
    labels = _labels(path, f"y_{part}", arrays[f"y_{part}"])
    if len(images) != len(labels):
        raise _bad(
            path,
            f"has x_{part} and y_{part} of different lengths",
            f"{len(images)} images, {len(labels)} labels",
            "give every image one label",
        )
    return Split(images, labels)


def _images(path: str, name: str, array: np.ndarray) -> torch.Tensor:
    shape = list(array.shape)
    if array.ndim not in (3, 4):
        raise _bad(path, f"has {name} of shape {shape}", f"images are {LAYOUT}", "reshape it")
    if array.size == 0:
        raise _bad(path, f"has an empty {name}", f"its shape is {shape}", "save the images too")
    if array.ndim == 4 and shape[1] not in (1, 3) and shape[3] in (1, 3):
        raise _bad(
            path,
            f"has {name} with the channels last",
            f"its shape is {shape}, expected [N, C, H, W]",
            f"transpose it: {name}.transpose(0, 3, 1, 2)",
        )
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise _bad(
            path,
            f"has {name} of type {array.dtype}",
            "images are uint8 (0..255) or floats in [0, 1]",
            f"convert it, e.g. {name}.astype(np.uint8)",
        )
    if array.dtype.kind == "f":
        _check_values(path, name, array)
        array = array.astype(np.float32)
    if array.ndim == 3:
        array = array[:, None]
    return torch.from_numpy(np.ascontiguousarray(array))


def _check_values(path: str, name: str, array: np.ndarray) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        index = int(np.argwhere(~finite)[0][0])
        bad = int(array.size - finite.sum())
        kind = "NaN" if np.isnan(array).any() else "infinite values"
        raise _bad(
            path,
            f"has {kind} in {name}",
            f"{bad} values, the first in image {index}",
            "remove those images or replace the values",
        )
    low, high = array.min(), array.max()
    if low < 0 or high > 1:
        raise _bad(
            path,
            f"has values outside [0, 1] in {name}",
            f"they go from {low:g} to {high:g}",
            "scale them, e.g. divide by the largest possible value, or save them as uint8",
        )


def _labels(path: str, name: str, array: np.ndarray) -> torch.Tensor:
    if array.ndim != 1:
        why, remedy = f"its shape is {list(array.shape)}", "labels are [N], one integer an image"
        raise _bad(path, f"has {name} that is not one label per image", why, remedy)
    if array.dtype.kind not in "iu":
        raise _bad(
            path,
            f"has labels in {name} that are not integers",
            f"their type is {array.dtype}",
            "number the classes 0, 1, 2, ... and save them as int64",
        )
    if array.size and (array.min() < 0 or array.max() > 2**31):
        extreme = array.min() if array.min() < 0 else array.max()
        why = f"label {extreme} at index {int(np.flatnonzero(array == extreme)[0])}"
        remedy = "number the classes 0, 1, 2, ..."
        raise _bad(path, f"has labels out of range in {name}", why, remedy)
    return torch.from_numpy(array.astype(np.int64))


def _class_names(path: str, array: np.ndarray | None, count: int) -> list[str] | None:
    if array is None:
        return None
    if array.ndim != 1 or len(array) < count:
        shape = list(array.shape)
        why = f"its shape is {shape}, the labels go up to {count - 1}"
        raise _bad(path, "has too few names in classes", why, "save one name per class")
    return [name.decode() if isinstance(name, bytes) else str(name) for name in array.tolist()]


def _check_contiguous(path: str, present: np.ndarray, names: list[str] | None, count: int) -> None:
    expected = len(names) if names else count
    if len(present) < expected:
        missing = next((i for i, label in enumerate(present.tolist()) if label != i), len(present))
        name = f" ({names[missing]})" if names else ""
        raise _bad(
            path,
            f"has no training sample of class {missing}{name}",
            f"the labels in y_train go up to {present[-1]}, {len(present)} of them are used",
            "number the classes 0, 1, 2, ... without gaps",
        )
    if expected < 2:
        raise _bad(path, "has only one class", "y_train is always 0", "give two or more")


def _check_like_training(path: str, part: str, split: Split, train: Split, count: int) -> None:
    if len(split) == 0 or split.targets.max() >= count:
        raise _bad(
            path,
            f"has a wrong label range in y_{part}",
            f"label {split.targets.max()}, but y_train has 0..{count - 1}",
            "use the labels of the training samples",
        )
    if split.inputs.shape[1:] != train.inputs.shape[1:]:
        found, expected = list(split.inputs.shape[1:]), list(train.inputs.shape[1:])
        raise _bad(
            path,
            f"has images of another size in x_{part}",
            f"{found}, those in x_train are {expected}",
            "give all images the same shape [C, H, W]",
        )
