"""Pictures and arrays as images of the size and channels of a network."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....coding.samples import SampleSpec
from ....core.errors import DataError
from ....datasets.sources.boxes.letterbox import Fit, fit
from ....datasets.sources.images.decode import Decoder
from ....datasets.sources.images.opening import ORIENTATIONS, OpenedImage, open_image
from ....datasets.sources.images.pixel_arrays import OUTSIDE, pixels_of
from ....datasets.sources.store import EXTENSIONS
from . import arrays
from .sample import Placement, Sample, Source, Unreadable

TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")
DARK = 31  # uint8 images with no value above it may have another white than 255


@dataclass(frozen=True)
class ImageReader:
    """Reads images `[C, H, W]`.

    Pictures are turned upright by their EXIF orientation, resized and given the channels of the
    network, as a data set in class folders does it. Arrays have to have its shape.

    Args:
        spec: the images that the network takes.
        labels: names of the classes.
        letterbox: keep the proportions of pictures, with a black frame around those of others, as
            data sets of pictures with boxes do.
    """

    spec: SampleSpec
    labels: list[str]
    letterbox: bool = False

    noun = "image"
    suffixes = frozenset((*EXTENSIONS, *arrays.SUFFIXES))
    in_threads = True

    def open(self, source: Source) -> Iterable[Sample | Unreadable]:
        """Return the images of a file.

        Raises:
            DataError: it is none, damaged, or does not fit.
        """
        if arrays.is_file_of_array(source):
            return self._of_file(arrays.open_arrays(source), source.name)
        content = source.load()
        if not content:
            raise DataError(f"{source.name} is empty", remedy="replace or remove it")
        if arrays.is_array(content):
            return self._of_file(arrays.open_arrays(source, content), source.name)
        return [self._picture(content, source)]

    def _of_file(self, found: list[arrays.Labelled], name: str) -> Iterable[Sample | Unreadable]:
        # A list: each array is checked before the first sample is read.
        return chain.from_iterable([self.samples(each, name) for each in found])

    def samples(self, found: arrays.Labelled, name: str) -> Iterable[Sample | Unreadable]:
        """Return the images of an array."""
        return arrays.samples_of(found, name, self.spec, self.labels, _pixels)

    def _picture(self, content: bytes, source: Source) -> Sample:
        channels, height, width = self.spec.shape
        if channels not in (1, 3):
            raise DataError(
                f"{source.name} does not fit the network",
                why=f"it takes images of {channels} channels, a picture has 1 or 3",
                remedy=f"give arrays [N, {channels}, {height}, {width}]",
            )
        store: Any = _OneFile(content, source.name)
        opened = open_image(store, source.name)
        at = Fit(height, width, 0, 0)
        if self.letterbox:
            at = fit(opened.size, (height, width))
        size = (at.height, at.width)
        decoder = Decoder(store, channels, size, True, source.name, opened.is_deep)
        pixels = decoder.decoded(opened, source.name)
        if size != (height, width):
            frame = np.zeros((channels, height, width), pixels.dtype)
            frame[:, at.top : at.top + at.height, at.left : at.left + at.width] = pixels
            pixels = frame
        value = torch.from_numpy(np.require(pixels, requirements=("C", "W")))  # PIL's are read-only
        changes = tuple(_changes(opened, (channels, *size)))
        placement = None
        if opened.size != (height, width):
            rows, columns = opened.size
            scale = (at.width / columns, at.height / rows)
            placement = Placement(scale, (columns, rows), at.left, at.top)
        return Sample(source.name, value, source.expected(self.labels), changes, placement)


@dataclass(frozen=True)
class _OneFile:
    """One file in memory, with the interface of a `Store`."""

    content: bytes
    name: str

    def read(self, name: str) -> bytes:
        return self.content

    def display_name(self, name: str) -> str:
        return self.name


def _changes(opened: OpenedImage, shape: tuple[int, int, int]) -> Iterable[str]:
    channels, height, width = shape
    if opened.orientation in ORIENTATIONS:
        yield "turned upright"
    if opened.size != (height, width):
        yield f"resized to {height}x{width}"
        if not _keeps_proportions(opened.size, (height, width)):
            yield "stretched to other proportions"
    if opened.is_grey != (channels == 1):
        yield "made colour" if opened.is_grey else "made grey"
    if opened.image.mode in TRANSPARENT or "transparency" in opened.image.info:
        yield "taken without transparency"


def _keeps_proportions(before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Return whether a size is another with the same factor, but for rounding to whole pixels."""
    sides = list(zip(before, after, strict=True))
    least = max((new - 0.5) / old for old, new in sides)
    greatest = min((new + 0.5) / old for old, new in sides)
    return least <= greatest


def _pixels(values: np.ndarray, name: str) -> Tensor:
    """Return pixels as uint8, or float32 in [0, 1]."""
    values = np.ascontiguousarray(values)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError(f"{name} holds NaN or infinite values", remedy="clean the array first")

    def refuse(what: str, why: str, remedy: str) -> DataError:
        verb = "holds" if what == OUTSIDE else "is"
        return DataError(f"{name} {verb} {what}", why=why, remedy=remedy)

    found = pixels_of(values, "x", refuse)
    high = int(found.max()) if found.dtype == np.uint8 else 0
    if 1 < high <= DARK:
        warnings.warn(
            f"the first values of {name} go up to {high} of 255; if {high} is white, save floats: "
            f"x / {high}",
            stacklevel=2,
        )
    return torch.from_numpy(np.require(found, requirements="W"))
