"""Data sets: splits of images and labels, and a fingerprint of their content."""

import hashlib
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ..core.registry import unknown

MOMENT_SAMPLES = 5_000
"""Samples of a lazy training split for its mean and standard deviation."""

CHUNK = 4_096


@runtime_checkable
class LazyImages(Protocol):
    """Images that are decoded at access; picklable, for the workers of a DataLoader.

    If an object also has `identity(index) -> str` (such as name and size of a file), its
    fingerprint is computed from that instead of the pixels.
    """

    shape: tuple[int, ...]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Tensor: ...


@dataclass(frozen=True)
class Split:
    """Images `[N, C, H, W]`, uint8 or float32 in [0, 1], in memory or lazy, with labels `[N]`."""

    images: Tensor | LazyImages
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Source:
    """The result of a loader; parts that are None are cut from the training part.

    `full_scale` is the uint8 value of 1.0.
    """

    train: Split
    test: Split | None
    classes: list[str]
    full_scale: float = 255.0
    validation: Split | None = None


@dataclass(frozen=True)
class DataSet:
    """Three disjoint splits of one source."""

    name: str
    train: Split
    validation: Split
    test: Split
    classes: list[str]
    full_scale: float
    fingerprint: str

    @property
    def in_shape(self) -> tuple[int, int, int]:
        """The shape `(C, H, W)` of one image."""
        channels, height, width = self.train.images.shape[1:]
        return int(channels), int(height), int(width)

    def split(self, name: str) -> Split:
        """Return the split called `train`, `validation` or `test`.

        Raises:
            ConfigError: an unknown name.
        """
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        if name not in splits:
            raise unknown("split", name, list(splits))
        return splits[name]

    def moments(self) -> tuple[list[float], list[float]]:
        """Return mean and standard deviation of the training images in [0, 1], by channel.

        A lazy split is sampled at 5,000 equally spaced images. A constant channel has deviation 1,
        so that division by it is safe.
        """
        images = self.train.images
        channels = images.shape[1]
        total, squares = torch.zeros(2, channels, dtype=torch.float64)
        seen = 0
        for chunk in _chunks(images):
            values = chunk.double()
            if chunk.dtype == torch.uint8:
                values /= self.full_scale
            total += values.sum((0, 2, 3))
            squares += values.square().sum((0, 2, 3))
            seen += values[:, 0].numel()
        mean = total / seen
        deviation = (squares / seen - mean.square()).clamp(min=0).sqrt()
        # Below 1e-6 is rounding: a step of uint8 is 1/255.
        deviation[deviation < 1e-6] = 1.0
        return mean.tolist(), deviation.tolist()


def fingerprint(*splits: Split) -> str:
    """Return the sha256 over labels and pixel bytes of the splits, in order.

    Lazy images enter by their identity, so that none is decoded.
    """
    digest = hashlib.sha256()
    for split in splits:
        digest.update(split.labels.contiguous().numpy().data)
        if isinstance(split.images, Tensor):
            for chunk in split.images.split(CHUNK):
                digest.update(chunk.contiguous().numpy().data)
            continue
        identity = getattr(split.images, "identity", None)
        for index in range(len(split)):
            if identity is not None:
                digest.update(f"{identity(index)}\n".encode())
            else:
                digest.update(split.images[index].contiguous().numpy().data)
    return digest.hexdigest()


def _chunks(images: Tensor | LazyImages):
    if isinstance(images, Tensor):
        yield from images.split(CHUNK)
        return
    count = min(MOMENT_SAMPLES, len(images))
    chosen = [number * len(images) // count for number in range(count)]
    for start in range(0, count, 256):
        yield torch.stack([images[index] for index in chosen[start : start + 256]])
