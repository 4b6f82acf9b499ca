"""One input: where it is, what is read from it, or why it cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ....core.errors import AsnnError


@dataclass(frozen=True)
class Source:
    """A file, a member of a zip, or bytes from a pipe.

    Attributes:
        name: as in messages.
        load: returns its bytes.
        path: of a regular file, which may also be read in parts; None of the others.
    """

    name: str
    load: Callable[[], bytes]
    path: Path | None = None

    @property
    def suffix(self) -> str:
        """The suffix in lower case."""
        return os.path.splitext(self.name)[1].lower()

    def expected(self, labels: Collection[str]) -> str | None:
        """Return the class that the folder of the file is named after; None if none is."""
        path = os.path.abspath(self.path) if self.path is not None else self.name
        folder = os.path.basename(os.path.dirname(path))
        return folder if folder in labels else None


@dataclass(frozen=True)
class Placement:
    """Where a picture lies in the image that a network takes: x' = scale_x x + left, and so y'.

    Attributes:
        scale: of x and of y.
        size: width and height of the picture.
        left, top: in pixels of the image.
    """

    scale: tuple[float, float]
    size: tuple[int, int]
    left: float = 0.0
    top: float = 0.0

    def to_sample(self, box: Sequence[float]) -> tuple[float, ...]:
        """Return a box (x1, y1, x2, y2) of the picture in pixels of the image."""
        shift, scale = (self.left, self.top) * 2, self.scale * 2
        return tuple(s * value + by for value, s, by in zip(box, scale, shift, strict=True))

    def to_picture(self, box: Sequence[float]) -> tuple[float, ...]:
        """Return the part of a box (x1, y1, x2, y2) of the image that is in the picture, in pixels
        of that; it may have no area."""
        shift, scale = (self.left, self.top) * 2, self.scale * 2
        moved = ((value - by) / s for value, s, by in zip(box, scale, shift, strict=True))
        return tuple(
            min(max(value, 0.0), high) for value, high in zip(moved, self.size * 2, strict=True)
        )


@dataclass(frozen=True)
class Sample:
    """A sample as the network takes it.

    Attributes:
        source: the name of its file, `FILE[3]` for the fourth sample of a file.
        value: an image `[C, H, W]`, uint8 or float32 in [0, 1]; a series `[T, ...]` float32; or the
            events of a recording.
        expected, changes: as of a `Prediction`.
        placement: of a picture that was resized; None of others.
    """

    source: str
    value: Any
    expected: str | None = None
    changes: tuple[str, ...] = ()
    placement: Placement | None = None

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        if isinstance(self.value, Tensor):
            return self.value.numel() * self.value.element_size()
        return sum(getattr(self.value, name).nbytes for name in "txyp")


@dataclass(frozen=True)
class Unreadable:
    """An input that is no sample, and why."""

    source: str
    error: AsnnError
    nbytes: int = 0
