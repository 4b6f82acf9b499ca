"""From the bytes of an image file to uint8 pixels."""

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ...core.errors import DataError
from .store import Store

GREY = {"1", "L", "LA", "I"}
"""PIL's modes without colour, beside the 16-bit ones whose names begin with I;16."""

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
"""PIL would try dozens more on a file with the wrong name, some through outside programs."""

TASK = 32
"""Images per task of the thread pool."""

SMALL = 4_096
"""Bytes below which a file's decoding is mostly Python, which threads only slow down."""


@dataclass(frozen=True)
class Decoder:
    """How image files become tensors `[C, H, W]`.

    Args:
        store: where the files are.
        channels: 1 for grey, 3 for colour.
        size: (height, width) of every image.
        resize: bring images to `size`; otherwise another size is an error.
        example: an image that has `size`, to name in that error.
    """

    store: Store
    channels: int
    size: tuple[int, int]
    resize: bool
    example: str

    def pixels(self, name: str) -> np.ndarray:
        """Return the image called `name` as uint8 `[C, H, W]`.

        Raises:
            DataError: it cannot be decoded, is absurdly large, or has another size.
        """
        image = open_image(self.store, name)
        height, width = self.size
        if not self.resize and image.size != (width, height):
            raise DataError(
                "the images differ in size",
                why=f"{self.example} has {height}x{width} (height x width), "
                f"{self.store.place(name)} has {image.height}x{image.width}",
                remedy=f"resize them with --set data.size=[{height},{width}]",
            )
        try:
            image = _eight_bits(image).convert("L" if self.channels == 1 else "RGB")
        except Exception as error:  # PIL's decoders raise what they like on damaged files
            raise undecodable(self.store, name, error) from error
        if self.resize and image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)


class LazyFiles:
    """Images `[N, C, H, W]` decoded one by one when they are asked for."""

    def __init__(self, decoder: Decoder, names: list[str]) -> None:
        self.decoder = decoder
        self.names = names
        self.shape = (len(names), decoder.channels, *decoder.size)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(self.decoder.pixels(self.names[index]).copy())

    def identity(self, index: int) -> str:
        """Return name and size of the file, by which a changed data set is noticed."""
        name = self.names[index]
        return f"{name} {self.decoder.store.sizes[name]}"


def decode_all(decoder: Decoder, names: list[str]) -> Tensor:
    """Return all images as one uint8 tensor `[N, C, H, W]`, decoded by threads where that helps.

    Raises:
        DataError: an image cannot be decoded or has another size.
    """
    images = np.empty((len(names), decoder.channels, *decoder.size), np.uint8)

    def task(start: int) -> None:
        for index in range(start, min(start + TASK, len(names))):
            images[index] = decoder.pixels(names[index])

    sizes = [decoder.store.sizes[name] for name in names]
    threads = 1 if sum(sizes) < SMALL * len(sizes) else os.cpu_count()
    with ThreadPoolExecutor(threads) as pool:
        tasks = [pool.submit(task, start) for start in range(0, len(names), TASK)]
        try:
            for done in tasks:
                done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return torch.from_numpy(images)


def open_image(store: Store, name: str) -> Image.Image:
    """Return the image called `name` with its header read and its pixels not yet.

    Raises:
        DataError: it is no image, or has more pixels than `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    content = store.read(name)
    limit = Image.MAX_IMAGE_PIXELS
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _bomb(store, name, str(error)) from error
    except Exception as error:
        raise undecodable(store, name, error) from error
    if limit is not None and image.width * image.height > limit:
        raise _bomb(store, name, f"{image.height}x{image.width} pixels, at most {limit} are read")
    return image


def modes(store: Store, names: list[str]) -> Iterator[bool]:
    """Yield for each image whether it is grey."""
    for name in names:
        mode = open_image(store, name).mode
        yield mode in GREY or mode.startswith("I;16")


def undecodable(store: Store, name: str, error: Exception) -> DataError:
    """Return the error for a file that is not the image its name says."""
    # PIL's own words for an unknown format show the address of a buffer.
    unknown = isinstance(error, UnidentifiedImageError)
    return DataError(
        f"could not decode {store.place(name)}",
        why="its content is no image that can be read" if unknown else str(error),
        remedy="replace it or take it out",
    )


def _bomb(store: Store, name: str, why: str) -> DataError:
    return DataError(
        f"{store.place(name)} is too large",
        why=why,
        remedy="take it out, or scale it down first",
    )


def _eight_bits(image: Image.Image) -> Image.Image:
    if not image.mode.startswith("I"):
        return image
    # PIL clips 16 bits at 255; what is meant is the same grey on a finer scale.
    values = np.asarray(image).astype(np.int64).clip(0, 65535)
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
