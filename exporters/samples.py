"""Samples to verify an export with, from a file."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from ..core.errors import DataError
from ..formats.array_headers import read_array_headers
from ..formats.arrays import read_npy, read_npz
from ..formats.files import check_file
from .source import Samples

UNREADABLE = (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def has_frames(path: Path, shape: tuple[int, ...]) -> bool:
    """Return whether the samples of a file have an axis of steps, `[N, T, *shape]`.

    Args:
        path: the file, whose values are not read.
        shape: of one image or frame.

    Raises:
        DataError: the file cannot be read.
    """
    ranks = [len(each.shape) for each in read_array_headers(path) if each.name in ("", "images")]
    return ranks == [2 + len(shape)]


def load_samples(path: Path, shape: tuple[int, ...], number: int) -> Samples:
    """Return the first samples of a file: `.npy`, or `.npz` with `images` and optional `labels`.

    Args:
        path: the file; images are floats `[N, *shape]`.
        shape: of one image.
        number: how many samples to return at most.

    Raises:
        DataError: the file cannot be read, or its images or labels have another shape or type.
    """
    check_file(path)
    try:
        if zipfile.is_zipfile(path):
            arrays = read_npz(path)
        else:
            arrays = {"images": read_npy(path.read_bytes())}
    except UNREADABLE as error:
        why = " ".join(str(error).split())[:300]
        raise DataError(f"{path} could not be read as .npz or .npy", why=why) from error
    if "images" not in arrays:
        raise DataError(
            f"{path} has no array 'images'",
            why=f"found: {', '.join(arrays) or 'none'}",
            remedy="save it with np.savez(path, images=..., labels=...)",
        )
    images, labels = arrays["images"], arrays.get("labels")
    if images.dtype.kind != "f":
        raise DataError(
            f"{path} has images of type {images.dtype}",
            why="a network takes floats, scaled as in its training",
            remedy="save them as float32",
        )
    if images.shape[1:] != shape or not len(images):
        raise DataError(
            f"{path} has images of the shape {list(images.shape)}",
            why=f"the network takes [N, {', '.join(map(str, shape))}]",
            remedy="its axes are samples, then steps if the network takes other input at each "
            "(--steps), then those of --in-shape",
        )
    if labels is not None and (labels.shape != images.shape[:1] or labels.dtype.kind not in "iu"):
        raise DataError(f"{path} has labels that are not one integer an image")
    images = images[:number].astype(np.float32)
    if not np.isfinite(images).all():
        raise DataError(f"{path} has images with values that are not finite")
    name = f"{len(images)} samples of {path.name}"
    return Samples(images, None if labels is None else labels[:number].astype(np.int64), name)
