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
from .decode import GREY, Decoder, open_image

NPY, ZIP = b"\x93NUMPY", b"PK\x03\x04"
LAYOUTS = "[H, W], [C, H, W] with 1 or 3 channels, or [B, C, H, W]"


@dataclass(frozen=True)
class LabelledImages:
    """Images `[B, C, H, W]` in [0, 1], and labels `[B]` if the file has them."""

    images: Tensor
    labels: Tensor | None = None


def read_images(content: bytes, name: str) -> LabelledImages:
    """Return the images in the bytes of a PNG, JPEG, BMP, WebP, `.npy` or `.npz` file.

    Arrays are `[H, W]`, `[C, H, W]` with 1 or 3 channels, or `[B, C, H, W]`; uint8, or floats in
    [0, 1]. An `.npz` file holds one array, or names it `x` (labels `y`).

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
    image = open_image(store, name)
    grey = image.mode in GREY or image.mode.startswith("I;16")
    decoder = Decoder(store, 1 if grey else 3, (image.height, image.width), False, name)
    pixels = torch.from_numpy(decoder.pixels(name).copy())
    return LabelledImages(pixels.unsqueeze(0).float() / 255)


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
    if array.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(array)).float() / 255
    if array.dtype.kind != "f":
        raise DataError(
            f"{name} is of type {array.dtype}",
            why="images are uint8 (0..255) or floats in [0, 1]",
            remedy="convert it with .astype(numpy.uint8) or divide it by its greatest value",
        )
    if not np.isfinite(array).all():
        raise DataError(f"{name} holds NaN or infinite values", remedy="clean the array first")
    if array.min() < 0 or array.max() > 1:
        raise DataError(
            f"{name} holds values from {array.min():.4g} to {array.max():.4g}",
            why="floats must lie in [0, 1]",
            remedy="scale it first: (x - x.min()) / (x.max() - x.min())",
        )
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
