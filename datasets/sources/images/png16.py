"""PNG files of 16 bits a value, which PIL reads whole only if they are grey."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""By type of colour: grey, RGB, grey with alpha, RGB with alpha."""
STRIP = 2**22
"""Unpacked bytes that are decoded at a time."""

IHDR = struct.Struct(">IIBBBBB")


class Header(NamedTuple):
    """The fields of the chunk IHDR."""

    width: int
    height: int
    bits: int
    colour: int
    compression: int
    filters: int
    interlace: int


def header_of_16_bits(content: bytes) -> Header | None:
    """Return the header of a PNG of 16 bits a value; None of another file."""
    if not content.startswith(SIGNATURE) or content[12:16] != b"IHDR" or len(content) < 33:
        return None
    header = Header(*IHDR.unpack_from(content, 16))
    return header if header.bits == 16 and header.colour in CHANNELS else None


def strips_of_16_bits(content: bytes, header: Header) -> Iterator[np.ndarray]:
    """Yield the values of a PNG of 16 bits from top to bottom, uint16 `[rows, W, channels]`.

    The filters of a row combine bytes that are one pixel apart, thus high bytes with high ones and
    low with low: each half is a PNG of 8 bits with the same filters, which PIL decodes. The filters
    refer to the row above, so that each strip begins with the last row before it, without filter.

    Raises:
        ValueError: it is interlaced or damaged.
    """
    if header.interlace:
        raise ValueError("it is interlaced, with 16 bits a value; save it without interlacing")
    channels = CHANNELS[header.colour]
    above: list[np.ndarray] = []
    for rows in _rows(content, header, 1 + header.width * channels * 2):
        filters, values = rows[:, :1], rows[:, 1:]
        halves = []
        for half in (0, 1):
            encoded = np.concatenate([filters, values[:, half::2]], 1)
            if above:
                encoded = np.concatenate([above[half], encoded])
            decoded = _decoded(encoded, header).reshape(len(encoded), -1)
            halves.append(decoded[len(encoded) - len(rows) :])
        above = [np.pad(half[-1:], ((0, 0), (1, 0))) for half in halves]  # 0: no filter
        found = np.left_shift(halves[0], 8, dtype=np.uint16)
        found |= halves[1]
        yield found.reshape(len(rows), header.width, channels)


def _rows(content: bytes, header: Header, size: int) -> Iterator[np.ndarray]:
    """Yield strips of filtered rows of `size` bytes, uint8 `[rows, size]`."""
    unpacked = bytearray()
    left = header.height
    strip = max(1, STRIP // size)
    for part in _unpacked(content):
        unpacked += part
        while left and len(unpacked) >= min(strip, left) * size:
            rows = min(strip, left)
            yield np.frombuffer(bytes(unpacked[: rows * size]), np.uint8).reshape(rows, size)
            del unpacked[: rows * size]
            left -= rows
        if not left:
            return
    raise ValueError("it has fewer rows than its header says")


def _unpacked(content: bytes) -> Iterator[bytes]:
    """Yield the unpacked bytes of all chunks IDAT, in parts."""
    unpacker = zlib.decompressobj()
    at = len(SIGNATURE)
    while True:
        if at + 12 > len(content):
            raise ValueError("it ends too early")
        (length,) = struct.unpack_from(">I", content, at)
        kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        if content[at + 8 + length : at + 12 + length] != struct.pack(
            ">I", zlib.crc32(kind + data)
        ):
            raise ValueError(f"the checksum of its chunk {kind!r} is wrong")
        if kind == b"IEND":
            return
        while kind == b"IDAT" and data:
            try:
                part = unpacker.decompress(data, STRIP)
            except zlib.error as error:
                raise ValueError(str(error)) from error
            if not part and unpacker.eof:
                break
            yield part
            data = unpacker.unconsumed_tail
        at += 12 + length


def _decoded(rows: np.ndarray, header: Header) -> np.ndarray:
    content = io.BytesIO(
        SIGNATURE
        + _chunk(b"IHDR", IHDR.pack(*header._replace(bits=8, height=len(rows))))
        + _chunk(b"IDAT", zlib.compress(rows.tobytes(), 0))
        + _chunk(b"IEND", b"")
    )
    return np.asarray(Image.open(content, formats=("PNG",)))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
