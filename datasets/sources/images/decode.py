"""Image files as uint8 pixels."""

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ....core.errors import DataError
from ..store import Store

GREY = {"1", "L", "LA", "I"}
"""PIL's modes without colour, except the 16-bit ones, whose names begin with I;16."""

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
"""PIL would try dozens more on an invalid file, some of them by external programs."""

IMAGES_PER_TASK = 32
"""Of the thread pool."""

MIN_BYTES_FOR_THREADS = 4_096
"""Smaller files spend their time in Python code, which threads slow down."""


@dataclass(frozen=True)
class Decoder:
    """Decodes image files to `[C, H, W]`.

    Args:
        store: the files.
        channels: 1 for grey, 3 for colour.
        size: (height, width) of every image.
        resize: resize images to `size`; otherwise another size is an error.
        example: the name of an image with `size`, for that error.
    """

    store: Store
    channels: int
    size: tuple[int, int]
    resize: bool
    example: str

    def pixels(self, name: str) -> np.ndarray:
        """Return the image called `name` as uint8 `[C, H, W]`.

        Raises:
            DataError: it cannot be decoded, is too large, or has another size.
        """
        image = open_image(self.store, name)
        height, width = self.size
        if not self.resize and image.size != (width, height):
            raise DataError(
                "the images differ in size",
                why=f"{self.example} has {height}x{width} (height x width), "
                f"{self.store.display_name(name)} has {image.height}x{image.width}",
                remedy=f"resize them with --set data.size=[{height},{width}]",
            )
        try:
            image = _to_8_bits(image).convert("L" if self.channels == 1 else "RGB")
        except Exception as error:  # PIL's decoders raise any exception on damaged files
            raise undecodable(self.store, name, error) from error
        if self.resize and image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)


class LazyFiles:
    """Images `[N, C, H, W]` that are decoded at access."""

    def __init__(self, decoder: Decoder, names: list[str]) -> None:
        self.decoder = decoder
        self.names = names
        self.shape = (len(names), decoder.channels, *decoder.size)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(self.decoder.pixels(self.names[index]).copy())

    def identity(self, index: int) -> str:
        """Return name and size of the file, for the fingerprint."""
        name = self.names[index]
        return f"{name} {self.decoder.store.sizes[name]}"


def decode_all(decoder: Decoder, names: list[str]) -> Tensor:
    """Return all images as one uint8 tensor `[N, C, H, W]`, decoded by threads if they are large.

    Raises:
        DataError: an image cannot be decoded or has another size.
    """
    images = np.empty((len(names), decoder.channels, *decoder.size), np.uint8)

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


def open_image(store: Store, name: str) -> Image.Image:
    """Return the image called `name`; its pixels are decoded at access.

    Raises:
        DataError: it is not an image, or has more pixels than `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    content = store.read(name)
    limit = Image.MAX_IMAGE_PIXELS
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(store, name, str(error)) from error
    except Exception as error:
        raise undecodable(store, name, error) from error
    if limit is not None and image.width * image.height > limit:
        raise _too_large(
            store, name, f"{image.height}x{image.width} pixels, at most {limit} are read"
        )
    return image


def are_grey(store: Store, names: list[str]) -> Iterator[bool]:
    """Yield for each image whether it is grey."""
    for name in names:
        mode = open_image(store, name).mode
        yield mode in GREY or mode.startswith("I;16")


def undecodable(store: Store, name: str, error: Exception) -> DataError:
    """Return the error for an image that cannot be decoded."""
    # PIL's message for an unknown format shows the address of a buffer.
    unknown = isinstance(error, UnidentifiedImageError)
    return DataError(
        f"could not decode {store.display_name(name)}",
        why="its content is not a supported image" if unknown else str(error),
        remedy="replace or remove it",
    )


def _too_large(store: Store, name: str, why: str) -> DataError:
    return DataError(
        f"{store.display_name(name)} is too large",
        why=why,
        remedy="remove it, or scale it down first",
    )


def _to_8_bits(image: Image.Image) -> Image.Image:
    if not image.mode.startswith("I"):
        return image
    # PIL would clip 16-bit values at 255.
    values = np.asarray(image).astype(np.int64).clip(0, 65535)
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
