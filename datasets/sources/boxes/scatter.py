"""Images of a data set of classes, scattered on a canvas."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from ....core.errors import ConfigError
from ...base import Source, Split
from ...boxes import pack
from .canvas import PARTS, Canvases, place, require_room
from .members import Members, load_members

INK = 0.2
"""A pixel above this, in [0, 1], belongs to an object."""


def load_scatter(
    *,
    of: str | dict[str, Any] = "digits",
    dir: str | None = None,
    size: int | list[int] = 64,
    objects: int = 3,
    scale: float | list[float] = 1.0,
    samples: int = 2_000,
    validation_samples: int = 300,
    test_samples: int = 500,
    seed: int = 0,
) -> Source:
    """Return canvases with 1 to `objects` images of another data set, uint8 `[N, C, H, W]`.

    An object is the part of an image with all its pixels above .2 (in [0, 1]), and this is its
    box. Boxes do not overlap; an object without room is left out. Training canvases show training
    images only, those of the other parts images of the same part.

    Args:
        of: the data set of the images, or a table with `name` and its options.
        dir: folder of its files, for data sets that have this option.
        size: [height, width] of the canvas; one number for both.
        objects: the largest number of objects.
        scale: factor of the sides of an object, or the smallest and the greatest of a uniform
            distribution; bilinear.
        samples: canvases for training.
        validation_samples, test_samples: of the other parts.
        seed: of all of them; it is not the seed of a training.

    Raises:
        ConfigError: an option out of range, or a data set of other samples.
        DataError: missing or damaged files, or an object larger than the canvas.
    """
    counts = (samples, validation_samples, test_samples)
    canvases = Canvases.of(size, objects, counts, seed)
    factors = _factors(scale)
    members = load_members(of, dir, "image")
    data = members.data
    parts = {part: _scattered(members, part, canvases, factors) for part in PARTS}
    return Source(
        parts["train"],
        parts["test"],
        data.classes,
        validation=parts["validation"],
        notes=[f"canvases of {data.name}, those of each part from its own images"],
        target="boxes",
    )


def _factors(scale: float | list[float]) -> tuple[float, float]:
    low, high = scale if isinstance(scale, list) and len(scale) == 2 else (scale, scale)
    if isinstance(low, list) or isinstance(high, list) or not 0 < low <= high <= 100:
        raise ConfigError(
            f"data.scale is {scale}",
            why="it is a factor above 0 and up to 100, or the smallest and the greatest",
            remedy="choose for example --set data.scale=[0.8,1.2]",
        )
    return float(low), float(high)


def _scattered(
    members: Members, part: str, canvases: Canvases, factors: tuple[float, float]
) -> Split:
    data, split = members.data, members.data.split(part)
    drawn = canvases.draw(part, len(split))
    count, channels = len(drawn.objects), data.in_shape[0]
    images = np.zeros((count, channels, *canvases.size), np.uint8)
    labels = split.targets.numpy()
    boxes, classes = [], []
    for n in range(count):
        of_canvas: list[list[int]] = []
        of_class: list[int] = []
        for m in range(drawn.objects[n]):
            member = int(drawn.members[n, m])
            factor = factors[0] + (factors[1] - factors[0]) * drawn.sizes[n, m]
            pixels = _object(_pixels(members.sample(part, member), data.full_scale), factor)
            height, width = pixels.shape[1:]
            require_room(data.name, (height, width), canvases.size)
            found = place((height, width), canvases.size, of_canvas, drawn.places[n, m])
            if found is None:
                continue
            left, top = found
            images[n, :, top : top + height, left : left + width] = pixels
            of_canvas.append([left, top, left + width, top + height])
            of_class.append(int(labels[member]))
        boxes.append(torch.tensor(of_canvas))
        classes.append(torch.tensor(of_class))
    return Split(torch.from_numpy(images), pack(boxes, classes))


def _pixels(image: Any, full_scale: float) -> np.ndarray:
    """Return an image as uint8 `[C, H, W]` of the full scale 255."""
    values = image.numpy()
    if values.dtype == np.uint8 and full_scale == 255:
        return values
    share = values / full_scale if values.dtype == np.uint8 else values
    return np.rint(255 * share).astype(np.uint8)


def _object(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Return the object of an image `[C, H, W]`, scaled; all of an image without one."""
    found = _cropped(pixels)
    if factor == 1:
        return found
    height, width = (max(1, round(factor * side)) for side in found.shape[1:])
    planes = (Image.fromarray(plane) for plane in np.ascontiguousarray(found))
    scaled = [
        np.asarray(each.resize((width, height), Image.Resampling.BILINEAR)) for each in planes
    ]
    return _cropped(np.stack(scaled))


def _cropped(pixels: np.ndarray) -> np.ndarray:
    """Return the part of an image `[C, H, W]` that holds all pixels above INK."""
    ink = pixels.max(0) > 255 * INK
    rows, columns = ink.any(1).nonzero()[0], ink.any(0).nonzero()[0]
    if not len(rows):
        return pixels
    return pixels[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
