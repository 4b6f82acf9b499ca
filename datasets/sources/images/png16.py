"""PNG files of 16 bits a value, which PIL reads whole only if they are grey."""

from __future__ import annotations

import io
import struct
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""By type of colour: grey, RGB, grey with alpha, RGB with alpha."""
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


def read_16_bits(content: bytes, header: Header) -> np.ndarray:
    """Return the values of a PNG of 16 bits, uint16 `[H, W, channels]`, with alpha.

    The filters of a row combine bytes that are one pixel apart, thus high bytes with high ones and
    low with low: each half is a PNG of 8 bits with the same filters, which PIL decodes.

    Raises:
        ValueError: it is interlaced or damaged.
    """
    if header.interlace:
        raise ValueError("it is interlaced, with 16 bits a value; save it without interlacing")
    channels = CHANNELS[header.colour]
    row = 1 + header.width * channels * 2
    rows = _unpacked(content, header.height * row).reshape(header.height, row)
    filters, values = rows[:, :1], rows[:, 1:]
    halves = [_decoded(np.concatenate([filters, values[:, half::2]], 1), header) for half in (0, 1)]
    high, low = (half.astype(np.uint16) for half in halves)
    return (high << 8 | low).reshape(header.height, header.width, channels)


def _unpacked(content: bytes, size: int) -> np.ndarray:
    unpacker, parts, left = zlib.decompressobj(), [], size
    at = len(SIGNATURE)
    while left > 0:
        if at + 12 > len(content):
            raise ValueError("it ends too early")
        (length,) = struct.unpack_from(">I", content, at)
        kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        if content[at + 8 + length : at + 12 + length] != struct.pack(
            ">I", zlib.crc32(kind + data)
        ):
            raise ValueError(f"the checksum of its chunk {kind!r} is wrong")
        if kind == b"IEND":
            raise ValueError("it has fewer rows than its header says")
        if kind == b"IDAT":
            try:
                part = unpacker.decompress(data, left)
            except zlib.error as error:
                raise ValueError(str(error)) from error
            parts.append(part)
            left -= len(part)
        at += 12 + length
    return np.frombuffer(b"".join(parts), np.uint8)


def _decoded(rows: np.ndarray, header: Header) -> np.ndarray:
    content = io.BytesIO(
        SIGNATURE
        + _chunk(b"IHDR", IHDR.pack(*header._replace(bits=8)))
        + _chunk(b"IDAT", zlib.compress(rows.tobytes(), 0))
        + _chunk(b"IEND", b"")
    )
    return np.asarray(Image.open(content, formats=("PNG",)))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
