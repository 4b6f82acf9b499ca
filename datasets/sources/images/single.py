"""One file of images: a picture, or an array of pictures."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....core.errors import DataError
from ....core.files import ARCHIVE_ERRORS
from ....formats.arrays import read_npy, read_npz
from .decode import Decoder, LazyFiles
from .opening import open_image
from .pixel_arrays import OUTSIDE, pixels_of

NPY, ZIP = b"\x93NUMPY", b"PK\x03\x04"
LAYOUTS = "[H, W], [C, H, W] with 1 or 3 channels, or [B, C, H, W]"


@dataclass(frozen=True)
class LabelledImages:
    """The images of a file, and labels `[B]` if it has them.

    Attributes:
        images: `[B, C, H, W]`, uint8 or float32 in [0, 1]; a picture is decoded at access.
        labels: `[B]`, or None.
    """

    images: Tensor | LazyFiles
    labels: Tensor | None = None


def read_images(content: bytes, name: str) -> Tensor:
    """Return the images of `open_images`, float32 in [0, 1]."""
    images = open_images(content, name).images
    found = images if isinstance(images, Tensor) else images[0][None]
    return found.float() / 255 if found.dtype == torch.uint8 else found


def open_images(content: bytes, name: str) -> LabelledImages:
    """Return the images in the bytes of a PNG, JPEG, BMP, WebP, `.npy` or `.npz` file.

    Arrays are `[H, W]`, `[C, H, W]` with 1 or 3 channels, or `[B, C, H, W]`; uint8, uint16, or
    floats in [0, 1]. An `.npz` file holds one array, or names it `x` (labels `y`).

    Args:
        content: the file's bytes.
        name: the name of the file in messages.

    Raises:
        DataError: the file is of another kind, invalid or damaged.
    """
    if not content:
        raise DataError(f"{name} is empty", remedy="give an image, an .npy or an .npz file")
    if content.startswith(NPY):
        return LabelledImages(_pixels(_load(content, name), name))
    if content.startswith(ZIP):
        return _from_archive(_load(content, name), name)
    store: Any = _Bytes(content, name)
    opened = open_image(store, name)
    channels = 1 if opened.is_grey else 3
    decoder = Decoder(store, channels, opened.size, False, name, opened.is_deep)
    return LabelledImages(LazyFiles(decoder, [name]))


@dataclass(frozen=True)
class _Bytes:
    """One file in memory, with the interface of a `Store`."""

    content: bytes
    name: str

    def read(self, name: str) -> bytes:
        return self.content

    def display_name(self, name: str) -> str:
        return self.name


def _load(content: bytes, name: str) -> Any:
    try:
        return read_npy(content) if content.startswith(NPY) else read_npz(io.BytesIO(content))
    except ARCHIVE_ERRORS as error:
        raise DataError(
            f"{name} cannot be read",
            why=(str(error).splitlines() or [type(error).__name__])[0],
            remedy="save it again with numpy.save or numpy.savez; Python objects are not read",
        ) from error


def _from_archive(arrays: dict[str, np.ndarray], name: str) -> LabelledImages:
    if "spikes" in arrays and "meta" in arrays:
        raise DataError(f"{name} is a spike file", remedy="give the images instead")
    if "x" not in arrays and len(arrays) != 1:
        raise DataError(
            f"{name} has no array x",
            why=f"found: {', '.join(list(arrays)[:8]) or 'no arrays'}",
            remedy="name the images x, or save them alone; for a data set with x_train and x_test "
            "use --dataset npz --path FILE, for a zip of pictures --dataset folder --path FILE",
        )
    images = _pixels(arrays.get("x", next(iter(arrays.values()))), name)
    if "y" not in arrays:
        return LabelledImages(images)
    labels = arrays["y"]
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{name} has y of shape {list(labels.shape)} and type {labels.dtype}",
            why=f"there are {len(images)} images",
            remedy="give every image one integer label",
        )
    return LabelledImages(images, torch.from_numpy(labels.astype(np.int64)))


def _pixels(array: np.ndarray, name: str) -> Tensor:
    shape = list(array.shape)
    if array.ndim == 2:
        array = array[None, None]
    elif array.ndim == 3 and shape[0] in (1, 3):
        array = array[None]
    elif array.ndim != 4:
        raise DataError(f"{name} has the shape {shape}", why=f"images are {LAYOUTS}")
    if array.size == 0:
        raise DataError(f"{name} holds no pixels", why=f"its shape is {shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"{name} holds NaN or infinite values", remedy="clean the array first")

    def refuse(what: str, why: str, remedy: str) -> DataError:
        verb = "holds" if what == OUTSIDE else "is"
        return DataError(f"{name} {verb} {what}", why=why, remedy=remedy)

    return torch.from_numpy(np.ascontiguousarray(pixels_of(array, "x", refuse)))
