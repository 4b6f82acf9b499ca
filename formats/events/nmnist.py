"""N-MNIST and N-Caltech101 (.bin), and SLAYER's copies (.bs2): five bytes an event.

Bytes, big-endian: x, y, then 1 bit of polarity and 23 bits of microseconds. The data sets' own
reader (event-Python, eventvision.py) takes y = 240 as no event but as a clock that has wrapped: it
adds 2¹³ µs to the times from there on.
"""

from __future__ import annotations

import numpy as np

from .recording import Recording, check_whole

OVERFLOW_Y = 240
OVERFLOW_TIME = 1 << 13


def decode(content: bytes) -> Recording:
    """Return the events of a file that has no header, and so states no size.

    Raises:
        InvalidFile: its last event is cut.
    """
    check_whole(len(content), 5, "events")
    rows = np.frombuffer(content, np.uint8).reshape(-1, 5)
    x, y = rows[:, 0].astype(np.int32), rows[:, 1].astype(np.int32)
    t = (rows[:, 2] & 0x7F).astype(np.int64)
    for column in (3, 4):
        t <<= 8
        t |= rows[:, column]
    p = rows[:, 2] >> 7
    overflow = y == OVERFLOW_Y
    if overflow.any():
        t += np.cumsum(overflow) * OVERFLOW_TIME
        t, x, y, p = (values[~overflow] for values in (t, x, y, p))
    return Recording(t, x, y, p)
