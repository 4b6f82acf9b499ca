"""Event Stream 2 (.es): the format of the ICNS's tools (faery, event_stream).

After `Event Stream`, three bytes of version, one of stream type, then for a DVS its width and
height (16 bits, little-endian). An event is one byte of 7 bits of time since the last and 1 bit of
polarity, then x and y (16 bits each). Instead of that first byte, 255 adds 127 µs and 254 adds
nothing. Source: https://github.com/neuromorphicsystems/event_stream
"""

from __future__ import annotations

import math

import numpy as np

from ..errors import InvalidFile
from .recording import Recording, check_inside

MAGIC = b"Event Stream"
STREAMS = {0: "generic events", 1: "DVS events", 2: "ATIS events", 3: "asynchronous ATIS events",
           4: "colour events"}  # fmt: skip
HEADER = 20
RESET = 254  # and 255, overflow: the two bytes that are no event
MAX_STEP = 127


def decode(content: bytes) -> Recording:
    """Return the events of a DVS stream; y counts as in the file.

    Raises:
        InvalidFile: it is of another version or type, is cut, or has events beyond its size.
    """
    if not content.startswith(MAGIC):
        raise InvalidFile("it does not begin with `Event Stream`")
    if len(content) < HEADER:
        raise InvalidFile("it ends too early: within its header")
    if content[12] != 2:
        raise InvalidFile(f"its version is {content[12]}.{content[13]}; version 2 is read")
    if content[15] != 1:
        name = STREAMS.get(content[15], f"events of the unknown type {content[15]}")
        raise InvalidFile(f"it holds {name}; DVS events are read")
    size = int.from_bytes(content[18:20], "little"), int.from_bytes(content[16:18], "little")
    body = np.frombuffer(content, np.uint8, offset=HEADER)
    heads = np.flatnonzero(_is_head(body))
    first = body[heads]
    is_event = first < RESET
    steps = np.minimum(first >> 1, MAX_STEP).astype(np.int64)
    steps[first == RESET] = 0
    at = heads[is_event]
    if len(at) and at[-1] + 5 > len(body):
        raise InvalidFile(
            f"it ends too early: its last event has {len(body) - int(at[-1])} of 5 bytes"
        )
    t = np.cumsum(steps)[is_event]
    x, y = (body[at + low].astype(np.int32) | body[at + low + 1].astype(np.int32) << 8
            for low in (1, 3))  # fmt: skip
    check_inside(x, y, size)
    return Recording(t, x, y, first[is_event] & 1, size)


def _is_head(body: np.ndarray) -> np.ndarray:
    """Return which bytes begin an event, or stand for themselves: a mask like `body`.

    Where an event begins depends on all bytes before it. To go through them once for each byte of
    a block, and not of the file, all blocks are read side by side from each of the five states
    (bytes left of an event); then the blocks are chained, and read again from their true state.
    """
    if not len(body):
        return np.zeros(0, bool)
    length = max(1, math.isqrt(len(body)))
    blocks = -(-len(body) // length)
    after_head = np.zeros(blocks * length, np.uint8)
    after_head[: len(body)] = np.where(body < RESET, 4, 0)
    columns = np.ascontiguousarray(after_head.reshape(blocks, length).T)

    left = np.repeat(np.arange(5, dtype=np.uint8)[:, None], blocks, axis=1)
    for head in columns:
        left = np.where(left > 0, left - 1, head)
    state, entries = 0, np.zeros(blocks, np.uint8)
    for block, ends in enumerate(left.T.tolist()):
        entries[block] = state
        state = ends[state]

    is_head = np.empty(columns.shape, bool)
    left = entries
    for row, head in zip(is_head, columns, strict=True):
        np.equal(left, 0, out=row)
        left = np.where(left > 0, left - 1, head)
    return is_head.T.reshape(-1)[: len(body)]
