"""Image files of any size in a frame of one size, with their boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ....core.errors import DataError
from ...base import Split
from ...boxes import pack
from ..images.opening import ORIENTATIONS, OpenedImage, open_image, undecodable
from ..store import FolderStore

MODES = {1: "L", 3: "RGB"}


@dataclass(frozen=True)
class Annotated:
    """An image file and its boxes.

    Attributes:
        name: of the file, relative to the folder of the images.
        size: (height, width) that its annotation states.
        boxes: (x1, y1, x2, y2) in its pixels, `[m, 4]`.
        classes: `[m]`.
    """

    name: str
    size: tuple[int, int]
    boxes: np.ndarray
    classes: np.ndarray


class Fit(NamedTuple):
    """Where an image lies in its frame: its size there, and the left and top edge."""

    height: int
    width: int
    left: int
    top: int


def fit(size: tuple[int, int], frame: tuple[int, int]) -> Fit:
    """Return where an image lies in the middle of a frame, as large as it fits, not distorted.

    >>> fit((100, 200), (64, 64))
    Fit(height=32, width=64, left=0, top=16)
    """
    factor = min(frame[0] / size[0], frame[1] / size[1])
    height, width = (max(1, round(factor * side)) for side in size)
    return Fit(height, width, (frame[1] - width) // 2, (frame[0] - height) // 2)


class LetterboxImages:
    """Images uint8 `[N, C, H, W]`, decoded at access; the frame around an image is 0.

    Args:
        store: the files.
        images: their names and the sizes that their annotations state.
        frame: (H, W).
        channels: C, 1 or 3.
    """

    def __init__(
        self,
        store: FolderStore,
        images: Sequence[tuple[str, tuple[int, int]]],
        frame: tuple[int, int],
        channels: int,
    ) -> None:
        self.store = store
        self.images = images
        self.shape = (len(images), channels, *frame)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        _, channels, *frame = self.shape
        at = fit(self.images[index][1], (frame[0], frame[1]))
        image = self.picture(index)
        fitting = image.resize((at.width, at.height), Image.Resampling.BILINEAR)
        found = np.zeros((*frame, channels), np.uint8)
        pixels = np.atleast_3d(np.asarray(fitting))
        found[at.top : at.top + at.height, at.left : at.left + at.width] = pixels
        return torch.from_numpy(np.ascontiguousarray(found.transpose(2, 0, 1)))

    def picture(self, index: int) -> Image.Image:
        """Return an image as it is, in the mode of the channels.

        Raises:
            DataError: it is damaged, or not the image of its annotation.
        """
        name, size = self.images[index]
        opened = open_image(self.store, name)
        image = _upright(opened, size)
        if image is None or opened.is_deep:
            height, width = opened.size
            raise DataError(
                f"{self.store.display_name(name)} is not the image of its annotation",
                why="it has 16 bits a value"
                if image is not None
                else f"it has {height}x{width} pixels, the annotation {size[0]}x{size[1]} "
                "(height x width)",
                remedy="replace it, or correct the annotation",
            )
        try:
            return image.convert(MODES[self.shape[1]])
        except Exception as error:  # PIL's decoders raise any exception on damaged files
            raise undecodable(self.store, name, opened.content, error) from error

    def display_name(self, index: int) -> str:
        """Return the name of a file in messages."""
        return self.store.display_name(self.images[index][0])

    def identity(self, index: int) -> str:
        """Return name and size of the file, for the fingerprint."""
        name, _ = self.images[index]
        return f"{name} {self.store.sizes[name]}"


def letterboxed(
    folder: Path, images: Sequence[Annotated], frame: tuple[int, int], channels: int
) -> Split:
    """Return images in frames, with their boxes in pixels of the frame.

    Raises:
        DataError: a file is missing, or its name leads out of the folder.
    """
    for image in images:
        if PurePosixPath(image.name).is_absolute() or ".." in PurePosixPath(image.name).parts:
            raise DataError(
                f"an annotation names the image {image.name}",
                why=f"it is not within {folder}",
                remedy="correct the annotation",
            )
    try:
        store = FolderStore(folder, names=[image.name for image in images])
    except OSError as error:  # such as a name that is too long
        raise DataError(
            f"could not look for the images in {folder}",
            why=error.strerror or str(error),
            remedy="correct the annotation",
        ) from error
    missing = [image.name for image in images if image.name not in store.sizes]
    if missing:
        raise DataError(
            f"{len(missing):,} of {len(images):,} annotated images are missing in {folder}",
            why=f"the first is {missing[0]}",
            remedy="get the images again, or remove their annotations",
        )
    boxes, classes = [], []
    for image in images:
        at = fit(image.size, frame)
        scale = np.array([at.width / image.size[1], at.height / image.size[0]] * 2)
        moved = image.boxes.reshape(-1, 4) * scale + [at.left, at.top] * 2
        boxes.append(torch.from_numpy(moved))
        classes.append(torch.from_numpy(image.classes.astype(np.int64)))
    names = [(image.name, image.size) for image in images]
    return Split(LetterboxImages(store, names, frame, channels), pack(boxes, classes))


def clipped(box: Sequence[float], size: tuple[int, int]) -> list[float] | None:
    """Return a box (x1, y1, x2, y2) within an image of (height, width), None if nothing is left."""
    height, width = size
    x1, y1, x2, y2 = (
        min(max(value, 0.0), limit)
        for value, limit in zip(box, (width, height, width, height), strict=True)
    )
    # Below a thousandth of a pixel a box is a fault of rounding.
    return [x1, y1, x2, y2] if x2 - x1 > 1e-3 and y2 - y1 > 1e-3 else None


def _upright(opened: OpenedImage, size: tuple[int, int]) -> Image.Image | None:
    """Return the image as its annotation sees it; None if it has another size.

    Boxes belong to the pixels of the file, unless only the image that EXIF turns upright has the
    size of the annotation.
    """
    width, height = opened.image.size
    if (height, width) == size:
        return opened.image
    return opened.image.transpose(ORIENTATIONS[opened.orientation]) if opened.size == size else None
