"""Image files as pixels: uint8, or float32 of images with 16 bits a value."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ....core.errors import DataError
from ..store import Store
from .opening import ORIENTATIONS, OpenedImage, open_image, undecodable
from .png16 import strips_of_16_bits

IMAGES_PER_TASK = 32
"""Of the thread pool."""

MIN_BYTES_FOR_THREADS = 4_096
"""Smaller files spend their time in Python code, which threads slow down."""

LUMA = np.array([299, 587, 114], np.float32) / 1000
"""Of red, green and blue in grey: ITU-R BT.601, as PIL converts."""


@dataclass(frozen=True)
class Decoder:
    """Decodes image files to `[C, H, W]`, turned upright by their EXIF orientation.

    Args:
        store: the files.
        channels: 1 for grey, 3 for colour.
        size: (height, width) of every image.
        resize: resize images to `size`; otherwise another size is an error.
        example: the name of an image with `size`, for that error.
        deep: whether the pixels are float32 in [0, 1], which hold 16 bits; otherwise uint8.
    """

    store: Store
    channels: int
    size: tuple[int, int]
    resize: bool
    example: str
    deep: bool = False

    def pixels(self, name: str) -> np.ndarray:
        """Return the image called `name`, uint8 `[C, H, W]`, or float32 in [0, 1] if `deep`.

        Raises:
            DataError: it cannot be decoded, is too large, has another size, or 16 bits where the
                others have 8.
        """
        return self.decoded(open_image(self.store, name), name)

    def decoded(self, opened: OpenedImage, name: str) -> np.ndarray:
        """Return the pixels of an image that is open, as `pixels`.

        Raises:
            DataError: as `pixels`.
        """
        if not self.resize and opened.size != self.size:
            raise DataError(
                "the images differ in size",
                why="{} has {}x{} (height x width), ".format(self.example, *self.size)
                + "{} has {}x{}".format(self.store.display_name(name), *opened.size),
                remedy="resize them with --set data.size=[{},{}]".format(*self.size),
            )
        if opened.is_deep and not self.deep:
            raise DataError(
                "the images differ in depth",
                why=f"{self.store.display_name(name)} has 16 bits a value, {self.example} has 8",
                remedy="save all of them with 16 bits, or all with 8",
            )
        try:
            return self._deep_pixels(opened) if self.deep else self._pixels(opened)
        except Exception as error:  # PIL's decoders raise any exception on damaged files
            raise undecodable(self.store, name, opened.content, error) from error

    def _pixels(self, opened: OpenedImage) -> np.ndarray:
        image = opened.image.convert("L" if self.channels == 1 else "RGB")
        return np.atleast_3d(np.asarray(self._placed(image, opened))).transpose(2, 0, 1)

    def _deep_pixels(self, opened: OpenedImage) -> np.ndarray:
        """Return float32 `[C, H, W]`; memory holds it and a strip of the file."""
        width, height = opened.image.size
        found = np.empty((self.channels, height, width), np.float32)
        top = 0
        for strip in _deep_strips(opened):
            rows = slice(top, top + len(strip))
            top = rows.stop
            found[:, rows] = np.moveaxis(self._in_channels(strip), 2, 0)
        if opened.orientation not in ORIENTATIONS and (height, width) == self.size:
            return found
        planes = (Image.fromarray(plane) for plane in found)
        return np.stack([np.asarray(self._placed(plane, opened)) for plane in planes])

    def _in_channels(self, values: np.ndarray) -> np.ndarray:
        """Return values `[rows, W, channels]` in the channels of the decoder, without alpha."""
        if values.shape[2] < 3:
            return values[:, :, :1]  # repeated in colour
        values = values[:, :, :3]
        return (values @ LUMA)[:, :, None] if self.channels == 1 else values

    def _placed(self, image: Image.Image, opened: OpenedImage) -> Image.Image:
        """Return an image upright and in its size."""
        if opened.orientation in ORIENTATIONS:
            image = image.transpose(ORIENTATIONS[opened.orientation])
        height, width = self.size
        if self.resize and image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return image


def _deep_strips(opened: OpenedImage) -> Iterator[np.ndarray]:
    """Yield the values of an image from top to bottom, float32 `[rows, W, channels]` in [0, 1]."""
    image, header = opened.image, opened.png16
    if header is not None and (header.colour or not image.mode.startswith("I")):
        for strip in strips_of_16_bits(opened.content, header):
            yield strip / np.float32(65535)
    elif image.mode.startswith("I"):
        values = np.asarray(image).clip(0, 65535)
        yield values[:, :, None].astype(np.float32) / np.float32(65535)
    else:
        image = image.convert("L" if opened.is_grey else "RGB")
        yield np.atleast_3d(np.asarray(image)) / np.float32(255)


class LazyFiles:
    """Images `[N, C, H, W]` that are decoded at access."""

    def __init__(self, decoder: Decoder, names: list[str]) -> None:
        self.decoder = decoder
        self.names = names
        self.shape = (len(names), decoder.channels, *decoder.size)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Tensor:
        pixels = self.decoder.pixels(self.names[index])
        return torch.from_numpy(np.require(pixels, requirements=("C", "W")))  # PIL's are read-only

    def identity(self, index: int) -> str:
        """Return name and size of the file, for the fingerprint."""
        name = self.names[index]
        return f"{name} {self.decoder.store.sizes[name]}"


def decode_all(decoder: Decoder, names: list[str]) -> Tensor:
    """Return all images as one tensor `[N, C, H, W]`, decoded by threads if they are large.

    Raises:
        DataError: an image cannot be decoded or has another size.
    """
    dtype = np.float32 if decoder.deep else np.uint8
    images = np.empty((len(names), decoder.channels, *decoder.size), dtype)

    def task(start: int) -> None:
        for index in range(start, min(start + IMAGES_PER_TASK, len(names))):
            images[index] = decoder.pixels(names[index])

    sizes = [decoder.store.sizes[name] for name in names]
    threads = 1 if sum(sizes) < MIN_BYTES_FOR_THREADS * len(sizes) else os.cpu_count()
    with ThreadPoolExecutor(threads) as pool:
        tasks = [pool.submit(task, start) for start in range(0, len(names), IMAGES_PER_TASK)]
        try:
            for done in tasks:
                done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return torch.from_numpy(images)
