"""What an event camera, or a cochlea, recorded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InvalidFile

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Recording:
    """The events of one recording, in the order of the file.

    A camera's clock may step back and may start anywhere, below 0 too: nothing is sorted, shifted
    or clamped. The origin of x and y is that of the file.

    Attributes:
        t: int64 [E], microseconds.
        x: int32 [E], column.
        y: int32 [E], row; 0 for sensors of one row.
        p: uint8 [E], 0 = off (darker), 1 = on (brighter); 1 for sensors without polarity.
        size: (height, width) where the file states it.
    """

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray
    size: Size | None = None

    def __len__(self) -> int:
        return len(self.t)


@dataclass(frozen=True, eq=False)
class Recordings:
    """Many recordings in one file: recording i has the events `offsets[i]:offsets[i + 1]`.

    Attributes:
        t, x, y, p, size: as in `Recording`, all recordings one after another.
        offsets: int64 [N + 1], from 0 to E.
        labels: int64 [N], where the file has them.
        class_names: the name of each label, where the file has them.
        sample_id: int64 [N], the number of each recording in its data set, where the file has it.
    """

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray
    offsets: np.ndarray
    size: Size | None = None
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    sample_id: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Recording:
        """Return one recording; its arrays are views."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} recordings, none has the index {index}")
        index %= len(self)
        part = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        return Recording(self.t[part], self.x[part], self.y[part], self.p[part], self.size)


def single(recording: Recording) -> Recordings:
    """Return one recording as a file of one."""
    offsets = np.array([0, len(recording)], np.int64)
    r = recording
    return Recordings(r.t, r.x, r.y, r.p, offsets, r.size)


def check_inside(x: np.ndarray, y: np.ndarray, size: Size | None) -> None:
    """Refuse coordinates beyond the size that a file states, (height, width).

    Raises:
        InvalidFile: with the first event beyond it.
    """
    if size is None or not len(x):
        return
    if int(x.max()) < size[1] and int(y.max()) < size[0]:
        return
    first = int(np.argmax((x >= size[1]) | (y >= size[0])))
    raise InvalidFile(
        f"event {first} is at x {x[first]}, y {y[first]}, beyond the {size[1]}x{size[0]} pixels "
        "that the file states"
    )


def check_whole(length: int, item: int, what: str) -> None:
    """Refuse data that end within an item.

    Raises:
        InvalidFile: `length` is not a multiple of `item` bytes.
    """
    if length % item:
        raise InvalidFile(
            f"it ends too early: the last of its {what} has {length % item} of {item} bytes"
        )
