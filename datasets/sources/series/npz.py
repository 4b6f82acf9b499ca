"""Series in one .npz file, with classes, classes of steps, or real values."""

import numpy as np
import torch

from ....coding.samples import SampleSpec
from ...base import Source, Split
from ..array_names import PARTS
from ..labelled_arrays import (
    bad,
    check_finite,
    check_known_labels,
    check_one_each,
    check_same_shape,
    class_labels,
    class_names,
    read_arrays,
)
from ..labels import read_labels

LAYOUT = "[N, T, F] or [N, T, C, H, W]"
TARGETS = (
    "integers [N] are classes, integers [N, T] classes of steps (-1 for none), floats [N], [N, K], "
    "[N, T] or [N, T, K] real values"
)


def load_series_npz(*, path: str) -> Source:
    """Return the arrays `x_train`, `y_train` and, if present, `x_test`, `y_test` of a file.

    Series are `[N, T, F]` or `[N, T, C, H, W]`, any numbers, which become float32 as they are.
    Integers or text in y are classes `[N]`, see `read_labels`; integers `[N, T]` are classes
    0..K-1 of each step, each with a training sample, and -1 for none. Floats are real values:
    `[N]`, `[N, K]`, `[N, T]` or `[N, T, K]`. `x_validation` and `y_validation` are used instead of
    a part of the training samples; `classes` names the K classes. Other common names of the arrays
    mean the same.

    Raises:
        DataError: the file is not an .npz, or an array is missing or invalid.
    """
    arrays, notes = read_arrays(path)
    series = {
        part: _series(path, f"x_{part}", arrays[f"x_{part}"])
        for part in PARTS
        if f"x_{part}" in arrays
    }
    for part, inputs in series.items():
        check_one_each(path, part, inputs, arrays[f"y_{part}"], "series")
    if all(_one_class_each(arrays[f"y_{part}"]) for part in series):
        targets, classes, more = read_labels(path, arrays, "series")
        notes += more
    else:
        targets, classes = _other_targets(path, arrays, series)
    train = series["train"]
    for part, inputs in series.items():
        shapes = (inputs.shape[1:], train.shape[1:])
        check_same_shape(path, part, *shapes, "series", "[T, F] or [T, C, H, W]")
    splits = {part: Split(inputs, targets[part]) for part, inputs in series.items()}
    shape = tuple(map(int, train.shape))
    spec = SampleSpec("series", shape[2:], steps=shape[1], binary=_all_binary(splits))
    return Source(
        splits["train"],
        splits.get("test"),
        classes,
        validation=splits.get("validation"),
        spec=spec,
        notes=notes,
    )


def _one_class_each(array: np.ndarray) -> bool:
    return array.dtype.kind in "biuSU" and (array.ndim == 1 or array.shape[1:] == (1,))


def _other_targets(
    path: str, arrays: dict[str, np.ndarray], series: dict[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Return the targets of each part, classes of steps or real values, and names of classes."""
    targets = {
        part: _targets(path, f"y_{part}", arrays[f"y_{part}"], each.shape[1])
        for part, each in series.items()
    }
    train = targets["train"]
    real = train.is_floating_point()
    if real and "classes" in arrays:
        raise bad(
            path,
            "has classes, and real values in y_train",
            f"y_train is {arrays['y_train'].dtype}",
            "save the labels as integers, or leave out classes",
        )
    classes = [] if real else _classes(path, arrays, train.numpy())
    for part, each in targets.items():
        _check_same_targets(path, part, each, train)
        if not real:
            check_known_labels(path, part, each, len(classes))
    return targets, classes


def _series(path: str, name: str, array: np.ndarray) -> torch.Tensor:
    shape = list(array.shape)
    if array.ndim not in (3, 5):
        remedy = {
            2: f"add an axis of one feature: {name}[:, :, None]",
            4: f"add an axis of one channel: {name}[:, :, None]",
        }.get(array.ndim, "reshape it")
        raise bad(path, f"has {name} of shape {shape}", f"series are {LAYOUT}", remedy)
    if array.size == 0:
        raise bad(path, f"has an empty {name}", f"its shape is {shape}", "save the series too")
    if array.dtype.kind not in "buif":
        why = "series are whole numbers or floats"
        raise bad(path, f"has {name} of type {array.dtype}", why, "convert it, e.g. to float32")
    return _float32(path, name, array)


def _float32(path: str, name: str, array: np.ndarray) -> torch.Tensor:
    """Return numbers as float32, in which all of them are finite."""
    if array.dtype.kind == "f":
        check_finite(path, name, array, "series")
    with np.errstate(over="ignore"):
        narrow = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(narrow).all():
        largest = array.flat[int(np.argmax(~np.isfinite(narrow)))]
        why = f"for example {largest:g}; at most 3.4e38 in magnitude"
        raise bad(path, f"has values beyond float32 in {name}", why, "scale them")
    return torch.from_numpy(narrow)


def _targets(path: str, name: str, array: np.ndarray, steps: int) -> torch.Tensor:
    shape, kind = list(array.shape), array.dtype.kind
    allowed = {"i": (1, 2), "u": (1, 2), "f": (1, 2, 3)}.get(kind)
    if allowed is None:
        raise bad(path, f"has {name} of type {array.dtype}", TARGETS, "convert it")
    if array.ndim not in allowed:
        raise bad(path, f"has {name} of shape {shape}", TARGETS, "reshape it")
    of_steps = array.ndim == 3 or (array.ndim == 2 and kind != "f")
    if of_steps and shape[1] != steps:
        why = f"its shape is {shape}, and the series have {steps} steps"
        raise bad(path, f"has {name} of other steps than the series", why, TARGETS)
    if array.size == 0:
        raise bad(path, f"has an empty {name}", f"its shape is {shape}", TARGETS)
    if kind == "f":
        return _float32(path, name, array)
    return class_labels(path, name, array, lowest=-1 if array.ndim == 2 else 0)


def _classes(path: str, arrays: dict[str, np.ndarray], labels: np.ndarray) -> list[str]:
    present = np.unique(labels[labels >= 0])
    if not len(present):
        raise bad(path, "has no labels in y_train", "all are -1", "label some of the steps")
    return class_names(path, arrays, present)


def _check_same_targets(path: str, part: str, targets: torch.Tensor, train: torch.Tensor) -> None:
    if targets.dtype != train.dtype or targets.shape[1:] != train.shape[1:]:
        raise bad(
            path,
            f"has other targets in y_{part} than in y_train",
            f"{_shown(targets)}, those in y_train are {_shown(train)}",
            "give all parts targets of one kind and shape",
        )


def _shown(targets: torch.Tensor) -> str:
    kind = "real values" if targets.is_floating_point() else "integers"
    return f"{kind} [{', '.join(['N', *map(str, targets.shape[1:])])}]"


def _all_binary(splits: dict[str, Split]) -> bool:
    """Return whether all values of all parts are 0 or 1, so that they are spikes."""
    inputs = (split.inputs for split in splits.values())
    return all(isinstance(x, torch.Tensor) and bool(((x == 0) | (x == 1)).all()) for x in inputs)
