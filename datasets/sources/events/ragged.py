"""Recordings as the events of a data set: in order, on one sensor, over one duration."""

from __future__ import annotations

import numpy as np

from ....core.errors import ConfigError, DataError
from ....formats.events import Recordings
from ...events import Events


def check_options(size: list[int] | None, duration: float | None) -> None:
    """Refuse a size or a duration that is not positive.

    Raises:
        ConfigError: with what is allowed.
    """
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ConfigError(f"size is {size}", why="it is [height, width], both positive")
    if duration is not None and not 0 < duration < 1e9:
        raise ConfigError(f"duration is {duration} ms", why="it must be above 0 and finite")


def extent(recordings: Recordings) -> tuple[int, int]:
    """Return [height, width] that a file states, or that holds all its events."""
    if recordings.size is not None:
        return recordings.size
    if not len(recordings.t):
        return (1, 1)
    return int(recordings.y.max()) + 1, int(recordings.x.max()) + 1


def last_time(recordings: Recordings) -> int:
    """Return the time of the last event in µs, plus one."""
    return int(recordings.t.max()) + 1 if len(recordings.t) else 1


def to_events(path: str, recordings: Recordings, size: tuple[int, int], duration: int) -> Events:
    """Return the recordings of a file, each sorted by time (events of equal time keep their order).

    Args:
        path: of the file, for messages.
        recordings: its content; times are µs since the beginning of each recording.
        size: (height, width) of the sensor.
        duration: the length of a recording in µs.

    Raises:
        DataError: an event is outside the sensor, or before the beginning of its recording.
    """
    t, x, y, p = recordings.t, recordings.x, recordings.y, recordings.p
    height, width = size
    outside = (x < 0) | (y < 0) | (x >= width) | (y >= height)
    if outside.any():
        first = int(np.argmax(outside))
        number = int(np.searchsorted(recordings.offsets, first, "right")) - 1
        raise DataError(
            f"{path} has events outside a sensor of {height}x{width} (height x width)",
            why=f"{int(outside.sum()):,} of them, the first in recording {number}, at x = "
            f"{int(x[first])}, y = {int(y[first])}",
            remedy="set data.size to the [height, width] of the sensor",
        )
    if len(t) and int(t.min()) < 0:
        number = int(np.searchsorted(recordings.offsets, int(np.argmin(t)), "right")) - 1
        raise DataError(
            f"{path} has events before the beginning of a recording",
            why=f"recording {number} has one at {int(t.min())} µs",
            remedy="subtract the time of the first event of each recording",
        )
    start, count = recordings.offsets[:-1], np.diff(recordings.offsets)
    recording = np.repeat(np.arange(len(count)), count)
    steps_back = (np.diff(t) < 0) & (np.diff(recording) == 0)
    if steps_back.any():
        order = np.lexsort((t, recording))  # stable
        t, x, y, p = t[order], x[order], y[order], p[order]
    return Events(t, x, y, p, start, count, (2, height, width), duration)
