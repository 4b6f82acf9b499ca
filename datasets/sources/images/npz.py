"""Images in one .npz file."""

import numpy as np
import torch

from ....core.errors import DataError
from ...base import Source, Split
from ..array_names import PARTS
from ..labelled_arrays import bad, check_finite, check_one_each, check_same_shape, read_arrays
from ..labels import read_labels
from .pixel_arrays import OUTSIDE, pixels_of

LAYOUT = "[N, H, W], [N, C, H, W] or [N, H, W, C]"


def load_npz(*, path: str) -> Source:
    """Return the arrays `x_train`, `y_train` and, if present, `x_test`, `y_test` of a file.

    Images are `[N, H, W]`, `[N, C, H, W]` or `[N, H, W, C]`, uint8, uint16 or floats in [0, 1];
    labels see `read_labels`. `x_validation` and `y_validation` are used instead of a part of the
    training samples; `classes` names the K classes. Other common names of the arrays mean the same.

    Raises:
        DataError: the file is not an .npz, or an array is missing or invalid.
    """
    arrays, notes = read_arrays(path)
    images: dict[str, torch.Tensor] = {}
    for part in PARTS:
        name = f"x_{part}"
        if name not in arrays:
            continue
        images[part] = images_of(path, name, arrays[name], notes)
        check_one_each(path, part, images[part], arrays[f"y_{part}"], "images")
        shapes = (images[part].shape[1:], images["train"].shape[1:])
        check_same_shape(path, part, *shapes, "images", "[C, H, W]")
    labels = read_labels(path, arrays, "image")
    splits = {part: Split(each, labels.parts[part]) for part, each in images.items()}
    return Source(
        splits["train"],
        splits.get("test"),
        labels.classes,
        validation=splits.get("validation"),
        notes=(*notes, *labels.notes),
    )


def _channels_first(array: np.ndarray, notes: list[str]) -> np.ndarray:
    """Return images `[N, H, W, C]` as `[N, C, H, W]`, where only one of these can be meant."""
    if array.ndim != 4 or array.shape[1] in (1, 3) or array.shape[3] not in (1, 3):
        return array
    note = "images [N, H, W, C] have the channels last, and are transposed"
    if note not in notes:
        notes.append(note)
    return array.transpose(0, 3, 1, 2)


def images_of(path: str, name: str, array: np.ndarray, notes: list[str]) -> torch.Tensor:
    """Return an array of a file as images `[N, C, H, W]`, uint8 or float32 in [0, 1].

    Args:
        path: of the file, for messages.
        name: of the array.
        array: `[N, H, W]`, `[N, C, H, W]` or `[N, H, W, C]`.
        notes: gets a line if the channels are moved.

    Raises:
        DataError: another shape or type, or values outside [0, 1].
    """
    array = _channels_first(array, notes)
    shape = list(array.shape)
    if array.ndim not in (3, 4):
        raise bad(path, f"has {name} of shape {shape}", f"images are {LAYOUT}", "reshape it")
    if array.size == 0:
        raise bad(path, f"has an empty {name}", f"its shape is {shape}", "save the images too")
    if array.dtype.kind == "f":
        check_finite(path, name, array, "image")

    def refuse(what: str, why: str, remedy: str) -> DataError:
        fault = f"{what} in {name}" if what == OUTSIDE else f"{name} {what}"
        return bad(path, f"has {fault}", why, remedy)

    array = pixels_of(array, name, refuse)
    if array.ndim == 3:
        array = array[:, None]
    return torch.from_numpy(np.ascontiguousarray(array))
