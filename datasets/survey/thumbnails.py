"""Small pictures of samples, uint8 `[H, W]` or `[H, W, 3]`."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor

SIDE = 96
"""Pixels of the longer side."""


def of_image(values: Tensor) -> np.ndarray:
    """Return an image `[C, H, W]` in [0, 1], in colour if it has three channels."""
    pixels = (values * 255).round().byte().numpy()
    if len(pixels) == 3:
        return _small(pixels.transpose(1, 2, 0))
    return _small(pixels[0])


def of_events(x: np.ndarray, y: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return the number of events of each pixel of a sensor of `size` (H, W), as brightness."""
    index = y.astype(np.int64) * size[1] + x
    counts = np.bincount(index, minlength=size[0] * size[1]).reshape(size)
    return of_series(np.log1p(counts).T)


def of_series(values: np.ndarray) -> np.ndarray:
    """Return a series `[T, ...]` as brightness: time to the right, a row for each value."""
    rows = values.reshape(len(values), -1).T.astype(np.float64)
    low, high = rows.min(), rows.max()
    return _small((255 * (rows - low) / max(high - low, 1e-12)).astype(np.uint8))


def of_wave(samples: np.ndarray) -> np.ndarray:
    """Return the envelope of audio `[N]`: bright where a column has a sample that far from 0."""
    columns = np.array_split(np.abs(samples), min(SIDE, len(samples)))
    heights = np.array([each.max() for each in columns])
    rows = np.abs(np.linspace(-1, 1, SIDE // 2))[:, None]
    return np.where(rows <= heights / max(heights.max(), 1e-12), 255, 0).astype(np.uint8)


def _small(pixels: np.ndarray) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(image)
