"""Whether the events of a recording fit the samples of a data set, and their order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ....core.errors import ConfigError, DataError
from ....formats.events import Recording, Recordings

MAX_TIME = 10**12
"""µs: codes multiply times by a number of steps, which must not overflow."""


def check_duration(duration: float | None) -> None:
    """Refuse a duration that is not positive.

    Raises:
        ConfigError: with what is allowed.
    """
    if duration is not None and not 0 < 1000 * duration <= MAX_TIME:
        raise ConfigError(
            f"duration is {duration} ms", why=f"it is above 0 and at most {MAX_TIME // 1000:,}"
        )


def microseconds(duration: float) -> int:
    """Return a duration in ms as whole µs, at least one."""
    return max(1, round(1000 * duration))


def extent(recording: Recording | Recordings) -> tuple[int, int]:
    """Return [height, width] that a file states, or that holds all its events."""
    if recording.size is not None:
        return recording.size
    return int(recording.y.max(initial=0)) + 1, int(recording.x.max(initial=0)) + 1


def check_fits(
    name: str, recording: Recording, size: tuple[int, int] | None, polarities: int = 2
) -> None:
    """Refuse a recording with events that a sample cannot hold.

    Args:
        name: of the recording, for messages.
        recording: its events; times are µs since its beginning.
        size: (height, width) of the sensor, None if it is not known yet.
        polarities: 2, or 1 if there are no off events.

    Raises:
        DataError: an event is outside the sensor, off where there is no polarity, before the
            beginning of the recording, or later than 10¹² µs.
    """
    t, x, y, p = recording.t, recording.x, recording.y, recording.p
    if not len(t):
        return
    height, width = size or (1 + int(y.max()), 1 + int(x.max()))
    outside = (x < 0) | (y < 0) | (x >= width) | (y >= height)
    if outside.any():
        first = int(np.argmax(outside))
        raise DataError(
            f"{name} has events outside a sensor of {height}x{width} (height x width)",
            why=f"{int(outside.sum()):,} of them, the first at x = {int(x[first])}, "
            f"y = {int(y[first])}",
            remedy="set data.size to the [height, width] of the sensor",
        )
    if polarities == 1 and not p.all():
        raise DataError(
            f"{name} has off events",
            why=f"{int((p == 0).sum()):,} of {len(p):,}; the samples have one polarity",
            remedy="set data.polarities=2",
        )
    earliest, latest = int(t.min()), int(t.max())
    if earliest < 0:
        raise DataError(
            f"{name} has events before the beginning of the recording",
            why=f"one at {earliest} µs",
            remedy="subtract the time of the first event of the recording",
        )
    if latest >= MAX_TIME:
        raise DataError(
            f"{name} has events later than {MAX_TIME:,} µs",
            why=f"one at {latest} µs",
            remedy="let its times begin with the recording; they are in µs",
        )


def in_order(recording: Recording) -> Recording:
    """Return the events sorted by time; those of equal time keep their order."""
    if (recording.t[1:] >= recording.t[:-1]).all():
        return recording
    order = np.argsort(recording.t, kind="stable")
    columns = {name: getattr(recording, name)[order] for name in "txyp"}
    return replace(recording, **columns)


def narrowed(recording: Recording | Recordings) -> dict[str, np.ndarray]:
    """Return the columns t, x, y, p in the smallest types that hold them: about half the memory.

    Args:
        recording: whose events fit, see `check_fits`.
    """

    def smallest(values: np.ndarray) -> np.ndarray:
        return values.astype(np.min_scalar_type(int(values.max(initial=0))))

    long = int(recording.t.max(initial=0)) >= 2**31
    return {
        "t": recording.t if long else recording.t.astype(np.int32),
        "x": smallest(recording.x),
        "y": smallest(recording.y),
        "p": recording.p,
    }
