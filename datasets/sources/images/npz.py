"""Images in one .npz file."""

import numpy as np
import torch

from ....core.errors import DataError
from ...base import Source, Split
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
from .pixel_arrays import OUTSIDE, pixels_of

LAYOUT = "[N, H, W] or [N, C, H, W]"


def load_npz(*, path: str) -> Source:
    """Return the arrays `x_train`, `y_train` and, if present, `x_test`, `y_test` of a file.

    Images are `[N, H, W]` or `[N, C, H, W]`, uint8, uint16 or floats in [0, 1]; labels are `[N]`,
    integers 0..K-1, each with a training sample. `x_validation` and `y_validation` are used
    instead of a part of the training samples; `classes` names the K classes.

    Raises:
        DataError: the file is not an .npz, or an array is missing or invalid.
    """
    arrays = read_arrays(path)
    train = _split(path, arrays, "train")
    classes = class_names(path, arrays, np.unique(train.targets.numpy()))
    parts: dict[str, Split | None] = {"test": None, "validation": None}
    for part in parts:
        if f"x_{part}" in arrays:
            parts[part] = split = _split(path, arrays, part)
            check_known_labels(path, part, split.targets, len(classes))
            shapes = (split.inputs.shape[1:], train.inputs.shape[1:])
            check_same_shape(path, part, *shapes, "images", "[C, H, W]")
    return Source(train, parts["test"], classes, validation=parts["validation"])


def _split(path: str, arrays: dict[str, np.ndarray], part: str) -> Split:
    images = _images(path, f"x_{part}", arrays[f"x_{part}"])
    labels = _labels(path, f"y_{part}", arrays[f"y_{part}"])
    check_one_each(path, part, images, labels, "images")
    return Split(images, labels)


def _images(path: str, name: str, array: np.ndarray) -> torch.Tensor:
    shape = list(array.shape)
    if array.ndim not in (3, 4):
        raise bad(path, f"has {name} of shape {shape}", f"images are {LAYOUT}", "reshape it")
    if array.size == 0:
        raise bad(path, f"has an empty {name}", f"its shape is {shape}", "save the images too")
    if array.ndim == 4 and shape[1] not in (1, 3) and shape[3] in (1, 3):
        raise bad(
            path,
            f"has {name} with the channels last",
            f"its shape is {shape}, expected [N, C, H, W]",
            f"transpose it: {name}.transpose(0, 3, 1, 2)",
        )
    if array.dtype.kind == "f":
        check_finite(path, name, array, "image")

    def refuse(what: str, why: str, remedy: str) -> DataError:
        fault = f"{what} in {name}" if what == OUTSIDE else f"{name} {what}"
        return bad(path, f"has {fault}", why, remedy)

    array = pixels_of(array, name, refuse)
    if array.ndim == 3:
        array = array[:, None]
    return torch.from_numpy(np.ascontiguousarray(array))


def _labels(path: str, name: str, array: np.ndarray) -> torch.Tensor:
    if array.ndim != 1:
        why, remedy = f"its shape is {list(array.shape)}", "labels are [N], one integer an image"
        raise bad(path, f"has {name} that is not one label per image", why, remedy)
    return class_labels(path, name, array)
