"""Prophesee's .dat files (N-CARS, GEN1, 1 Mpx): eight bytes an event after a header of `%` lines.

After the header: one byte for the type of the events, one for their size. An event is two
little-endian words: 32 bits of microseconds; 14 bits of x, 14 of y, 4 of polarity.
"""

from __future__ import annotations

import numpy as np

from ..errors import InvalidFile, sanitize
from .percent_header import read_percent_header
from .recording import Recording, check_inside, check_whole

CHANGE_EVENTS = (0x00, 0x0C)  # of the first cameras, and of today's
EVENT_BYTES = 8


def decode(content: bytes) -> Recording:
    """Return the events of a .dat file.

    Raises:
        InvalidFile: it has no header, holds other events than changes of pixels, is cut, or has
            events beyond the size that it states.
    """
    header = read_percent_header(content)
    if not header.end:
        raise InvalidFile("it does not begin with a header of % lines")
    version = header.fields.get("version", "2")
    if version != "2":
        raise InvalidFile(f"its version is {sanitize(version, 20)}; version 2 is read")
    if len(content) < header.end + 2:
        raise InvalidFile("it ends too early: within its header")
    kind, item = content[header.end], content[header.end + 1]
    if kind not in CHANGE_EVENTS or item != EVENT_BYTES:
        raise InvalidFile(
            f"it holds events of type 0x{kind:02x} with {item} bytes; changes of pixels (0x00, "
            f"0x0c) with {EVENT_BYTES} bytes are read"
        )
    start = header.end + 2
    check_whole(len(content) - start, EVENT_BYTES, "events")
    words = np.frombuffer(content, "<u4", offset=start).reshape(-1, 2)
    place = words[:, 1]
    x = (place & 0x3FFF).astype(np.int32)
    y = (place >> 14 & 0x3FFF).astype(np.int32)
    p = (place >> 28).astype(np.uint8)
    if len(p) and p.max() > 1:
        first = int(np.argmax(p > 1))
        raise InvalidFile(f"event {first} has the polarity {p[first]}, neither 0 nor 1")
    check_inside(x, y, header.size)
    return Recording(words[:, 0].astype(np.int64), x, y, p, header.size)
