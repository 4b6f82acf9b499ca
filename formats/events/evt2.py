"""Prophesee's EVT 2.0 (.raw): 32-bit words, one for an event.

The top four bits are the type. CD_OFF and CD_ON hold 6 bits of time, 11 of x, 11 of y; TIME_HIGH
holds the upper 28 bits of the time, which wraps after 2³⁴ µs.
Source: https://docs.prophesee.ai/stable/data/encoding_formats/evt2.html
"""

from __future__ import annotations

import numpy as np

from ..errors import InvalidFile
from .clock import latest, unwrap
from .percent_header import check_encoding, read_percent_header
from .recording import Recording, check_inside, check_whole

TIME_HIGH = 0x8
DEFINED = np.isin(np.arange(16), [0x0, 0x1, TIME_HIGH, 0xA, 0xE, 0xF])


def decode(content: bytes) -> Recording:
    """Return the events of an EVT 2.0 file.

    A recording may begin anywhere in the stream of a camera: events before the first TIME_HIGH have
    no time and are left out, as by Prophesee's decoder. Triggers are left out too.

    Raises:
        InvalidFile: its header states another encoding, a word is cut or of no defined type, or an
            event is beyond the size that the header states.
    """
    header = read_percent_header(content)
    check_encoding(header, "EVT2")
    check_whole(len(content) - header.end, 4, "words")
    words = np.frombuffer(content, "<u4", offset=header.end)
    kinds = (words >> 28).astype(np.uint8)
    check_kinds(kinds, DEFINED, header.end, 4)

    is_high, is_event = kinds == TIME_HIGH, kinds <= 1
    high = latest(is_high, is_event)
    events = words[is_event]
    if len(high) and high[0] < 0:
        timed = high >= 0
        high, events = high[timed], events[timed]
    if not len(events) and is_event.any():
        raise InvalidFile("no TIME_HIGH word comes before its events, so they have no time")
    highs = unwrap(words[is_high] & 0x0FFFFFFF, 1 << 28)
    t = (highs[high] << 6) | (events >> 22 & 0x3F)
    x = (events >> 11 & 0x7FF).astype(np.int32)
    y = (events & 0x7FF).astype(np.int32)
    check_inside(x, y, header.size)
    return Recording(t, x, y, (events >> 28).astype(np.uint8), header.size)


def check_kinds(kinds: np.ndarray, defined: np.ndarray, start: int, item: int) -> None:
    """Refuse words of a type that the encoding reserves.

    Raises:
        InvalidFile: with the first of them and its byte.
    """
    known = defined[kinds]
    if not known.all():
        first = int(np.argmin(known))
        raise InvalidFile(
            f"the word at byte {start + item * first:,} has the type 0x{kinds[first]:x}, which its "
            "encoding does not define"
        )
