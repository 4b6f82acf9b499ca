"""Prophesee's EVT 3.0 (.raw): 16-bit words that change a state, or are events in it.

The top four bits are the type. ADDR_Y, TIME_LOW and TIME_HIGH set the row and twelve bits each of
the time, which wraps after 2²⁴ µs. ADDR_X is one event. VECT_BASE_X sets a column and a polarity;
VECT_12 and VECT_8 after it are a mask of events in the next 12 or 8 columns, and move that column.
Source: https://docs.prophesee.ai/stable/data/encoding_formats/evt3.html
"""

from __future__ import annotations

import numpy as np

from ..errors import InvalidFile
from .clock import latest, unwrap
from .evt2 import check_kinds
from .percent_header import check_encoding, read_percent_header
from .recording import Recording, check_inside, check_whole

ADDR_Y, ADDR_X, VECT_BASE_X, VECT_12, VECT_8 = 0x0, 0x2, 0x3, 0x4, 0x5
TIME_LOW, TIME_HIGH = 0x6, 0x8
DEFINED = np.isin(np.arange(16), [0, 2, 3, 4, 5, 6, 7, 8, 0xA, 0xE, 0xF])
WIDTHS = np.array([12 if k == VECT_12 else 8 if k == VECT_8 else 0 for k in range(16)], np.uint8)
MAX_WIDTH = 1 << 11  # the bits of a column
MAX_EVENTS = 1 << 28  # a mask holds up to twelve events in two bytes


def decode(content: bytes) -> Recording:
    """Return the events of an EVT 3.0 file.

    A recording may begin anywhere in the stream of a camera: events before the first TIME_HIGH,
    TIME_LOW and ADDR_Y have no time or no row and are left out. Triggers are left out too.

    Raises:
        InvalidFile: its header states another encoding, a word is cut or of no defined type, or an
            event is beyond the line or the size that the header states.
    """
    header = read_percent_header(content)
    check_encoding(header, "EVT3")
    check_whole(len(content) - header.end, 2, "words")
    words = np.frombuffer(content, "<u2", offset=header.end)
    kinds = (words >> 12).astype(np.uint8)
    check_kinds(kinds, DEFINED, header.end, 2)

    is_event = (kinds == ADDR_X) | (kinds == VECT_12) | (kinds == VECT_8)
    state = {kind: latest(kinds == kind, is_event) for kind in (ADDR_Y, TIME_LOW, TIME_HIGH)}
    base = latest(kinds == VECT_BASE_X, is_event)
    known = np.logical_and.reduce([index >= 0 for index in state.values()])
    known &= (base >= 0) | (kinds[is_event] == ADDR_X)
    if len(known) and not known.any():
        raise InvalidFile("no time and row come before its events")
    where = np.flatnonzero(is_event)[known]

    word, column, on = _columns(words, kinds, where, base[known], header.end)
    highs = unwrap(words[kinds == TIME_HIGH] & 0xFFF, 1 << 12)
    lows = words[kinds == TIME_LOW] & 0xFFF
    rows = (words[kinds == ADDR_Y] & 0x7FF).astype(np.int32)
    time = (highs[state[TIME_HIGH][known]] << 12) | lows[state[TIME_LOW][known]]
    row = rows[state[ADDR_Y][known]]
    t, y = time[word], row[word]
    check_inside(column, y, header.size)
    return Recording(t, column, y, on, header.size)


def _columns(
    words: np.ndarray, kinds: np.ndarray, where: np.ndarray, base: np.ndarray, start: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each event the index in `where` of its word, its column and its polarity.

    Args:
        words, kinds: [W], all words and their types.
        where: [V], the words that are events.
        base: [V], how many VECT_BASE_X come before the latest one.
        start: the byte of the first word, for messages.
    """
    values = words[where] & 0xFFF
    is_vector = kinds[where] != ADDR_X
    first = (values & 0x7FF).astype(np.int32)
    on = (values >> 11).astype(np.uint8)
    counts = np.ones(len(where), np.int64)

    masks = np.where(kinds[where] == VECT_8, values & 0xFF, values)[is_vector].astype("<u2")
    bits = np.unpackbits(masks.view(np.uint8), bitorder="little").reshape(-1, 16)
    counts[is_vector] = bits.sum(1, dtype=np.int64)
    if int(counts.sum()) > MAX_EVENTS:
        raise InvalidFile(f"it holds more than {MAX_EVENTS:,} events")

    if is_vector.any():
        moved = np.cumsum(WIDTHS[kinds], dtype=np.int64)  # after each word
        bases = np.flatnonzero(kinds == VECT_BASE_X)
        latest_base = bases[base[is_vector]]
        at = where[is_vector]
        offset = moved[at] - WIDTHS[kinds[at]] - moved[latest_base]
        begin = (words[latest_base] & 0x7FF) + offset
        last = 15 - np.argmax(bits[:, ::-1], axis=1)
        beyond = (begin + last >= MAX_WIDTH) & (masks > 0)
        if beyond.any():
            byte = start + 2 * int(at[np.argmax(beyond)])
            raise InvalidFile(f"the vector at byte {byte:,} goes beyond the {MAX_WIDTH} columns")
        first[is_vector] = np.minimum(begin, MAX_WIDTH)  # of a mask of no events: anywhere
        on[is_vector] = words[latest_base] >> 11 & 1

    word = np.repeat(np.arange(len(where), dtype=np.int32), counts)
    column = first[word]
    column[is_vector[word]] += np.broadcast_to(np.arange(16, dtype=np.uint8), bits.shape)[bits > 0]
    return word, column, on[word]
