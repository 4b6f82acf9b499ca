"""Objects at random places of a canvas, with boxes that do not overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ....core.errors import ConfigError, DataError
from ..sizes import height_and_width

TRIES = 50
"""Places tried for an object; without room at any of them it is left out."""
PARTS: tuple[str, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Canvases:
    """How many canvases there are, and what is on them.

    Attributes:
        size: (height, width).
        objects: the largest number of objects; the smallest is 1.
        counts: canvases by part.
        seed: of what is drawn; it is not the seed of a training.

    Raises:
        ConfigError: an option out of range.
    """

    size: tuple[int, int]
    objects: int
    counts: Mapping[str, int]
    seed: int

    def __post_init__(self) -> None:
        keys = {"train": "samples"} | {part: f"{part}_samples" for part in PARTS[1:]}
        for key, value in (
            ("objects", self.objects),
            *((keys[part], count) for part, count in self.counts.items()),
        ):
            if value < 1:
                raise ConfigError(f"data.{key} must be 1 or more, not {value}")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"data.seed must be 0 or more and below 2³², not {self.seed}")

    @staticmethod
    def of(size: int | list[int], objects: int, samples: Sequence[int], seed: int) -> Canvases:
        """Return the canvases of the options of a data set; `samples` are those of each part."""
        sides = height_and_width(size)
        assert sides is not None, "there is a size"
        return Canvases(sides, objects, dict(zip(PARTS, samples, strict=True)), seed)

    def draw(self, part: str, members: int) -> Drawn:
        """Return what is drawn for a part; it depends on seed, part and numbers alone.

        Args:
            part: train, validation or test.
            members: number of samples to choose from.
        """
        # Its stream is frozen for all versions of NumPy.
        random = np.random.RandomState([self.seed, PARTS.index(part)])
        shape = (self.counts[part], self.objects)
        return Drawn(
            random.randint(1, self.objects + 1, shape[0]),
            random.randint(0, members, shape),
            random.uniform(size=shape),
            random.uniform(size=(*shape, TRIES, 2)).astype(np.float32),
        )


class Drawn(NamedTuple):
    """What is drawn for N canvases of up to M objects.

    Attributes:
        objects: number of objects, `[N]`.
        members: sample that each of them shows, `[N, M]`.
        sizes: in [0, 1), of each of them, `[N, M]`.
        places: in [0, 1), x and y of the places that are tried, `[N, M, TRIES, 2]`.
    """

    objects: np.ndarray
    members: np.ndarray
    sizes: np.ndarray
    places: np.ndarray


def place(
    side: tuple[int, int], size: tuple[int, int], others: list[list[int]], places: np.ndarray
) -> tuple[int, int] | None:
    """Return left and top of a box at the first place where it overlaps no other.

    Args:
        side: (height, width) of the box.
        size: (height, width) of the canvas.
        others: boxes (x1, y1, x2, y2) on it.
        places: in [0, 1), `[tries, 2]`.

    Returns:
        None if it overlaps one at all places.
    """
    height, width = side
    left = (places[:, 0] * (size[1] - width + 1)).astype(int)
    top = (places[:, 1] * (size[0] - height + 1)).astype(int)
    free = np.ones(len(places), bool)
    for x1, y1, x2, y2 in others:
        free &= (left >= x2) | (left + width <= x1) | (top >= y2) | (top + height <= y1)
    first = int(free.argmax())
    return (int(left[first]), int(top[first])) if free[first] else None


def require_room(name: str, side: tuple[int, int], size: tuple[int, int]) -> None:
    """Refuse an object that is larger than the canvas.

    Raises:
        DataError: with both sizes.
    """
    if side[0] > size[0] or side[1] > size[1]:
        raise DataError(
            "{} has an object of {}x{} pixels, the canvas has {}x{}".format(name, *side, *size),
            why="an object must fit into its canvas (height x width)",
            remedy="raise data.size, or lower data.scale",
        )
