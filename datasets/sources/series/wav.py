"""WAV files: PCM of 8 to 64 bits and floats, uncompressed.

A file is `RIFF`, its length, `WAVE`, then chunks: four letters, a length, content, and a byte of
padding if the length is odd. `fmt ` says how the samples in `data` are stored; others are skipped.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from ....formats.errors import InvalidFile, sanitize

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
COMPRESSED = {2: "ADPCM", 6: "A-law", 7: "µ-law", 0x11: "ADPCM", 0x31: "GSM 6.10", 0x55: "MP3"}
DTYPES = {
    (PCM, 1): "u1",
    (PCM, 2): "<i2",
    (PCM, 4): "<i4",
    (PCM, 8): "<i8",
    (FLOAT, 4): "<f4",
    (FLOAT, 8): "<f8",
}
MIN_RATE, MAX_RATE = 100, 384_000
MAX_VALUE = 3.4e38
"""Of a float: the square of a larger one may overflow."""


def read_wav(content: bytes) -> tuple[np.ndarray, int]:
    """Return the samples `[N]`, channels averaged, and the rate in Hz of a WAV file.

    Whole numbers are scaled to [-1, 1); floats stay as they are.

    Raises:
        InvalidFile: it is no WAV file, is cut, holds no samples, or is of another kind.
    """
    chunks = _chunks(content)
    layout = _layout(chunks["fmt "])
    data = chunks["data"]
    if len(data) % layout.frame:
        raise InvalidFile(
            f"it ends too early: its last sample has {len(data) % layout.frame} of "
            f"{layout.frame} bytes"
        )
    if not data:
        raise InvalidFile("it holds no samples")
    samples = _values(data, layout).reshape(-1, layout.channels)
    if not (np.abs(samples) <= MAX_VALUE).all():  # also of NaN
        raise InvalidFile("it holds samples that are not finite, or beyond float32")
    return samples.mean(1), layout.rate


@dataclass(frozen=True)
class _Layout:
    """How samples are stored: PCM or FLOAT, and `width` bytes for each of the channels."""

    kind: int
    channels: int
    rate: int
    width: int

    @property
    def frame(self) -> int:
        return self.channels * self.width


def _chunks(content: bytes) -> dict[str, bytes]:
    """Return the content of the first `fmt ` and the first `data`."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise InvalidFile(f"it begins with {sanitize(content[:4], 20)}, not with RIFF and WAVE")
    found: dict[str, bytes] = {}
    start = 12
    while start + 8 <= len(content) and len(found) < 2:
        name = content[start : start + 4].decode("latin-1")
        size = int.from_bytes(content[start + 4 : start + 8], "little")
        if name in ("fmt ", "data") and name not in found:
            part = content[start + 8 : start + 8 + size]
            if len(part) < size:
                raise InvalidFile(
                    f"it ends too early: {len(part):,} bytes of {name.strip()}, its header states "
                    f"{size:,}"
                )
            found[name] = part
        start += 8 + size + size % 2
    for name in ("fmt ", "data"):
        if name not in found:
            raise InvalidFile(f"it has no chunk `{name.strip()}`")
    return found


def _layout(content: bytes) -> _Layout:
    if len(content) < 16:
        raise InvalidFile(f"its chunk `fmt` has {len(content)} bytes, at least 16 are needed")
    kind, channels, rate, _, frame, bits = struct.unpack_from("<HHIIHH", content)
    if kind == EXTENSIBLE and len(content) >= 26:
        (kind,) = struct.unpack_from("<H", content, 24)
    if kind not in (PCM, FLOAT):
        name = COMPRESSED.get(kind, f"of kind 0x{kind:04x}")
        raise InvalidFile(f"its samples are {name}; PCM and floats are read")
    width = frame // max(1, channels)
    readable = (kind, width) in DTYPES or (kind, width) == (PCM, 3)
    if not readable or frame != channels * width or not 8 * (width - 1) < bits <= 8 * width:
        raise InvalidFile(
            f"its samples have {bits} bits, {channels} channels in {frame} bytes, which is not read"
        )
    if not MIN_RATE <= rate <= MAX_RATE:
        raise InvalidFile(f"it has {rate} samples per second; {MIN_RATE} to {MAX_RATE:,} are read")
    return _Layout(kind, channels, rate, width)


def _values(data: bytes, layout: _Layout) -> np.ndarray:
    """Return the samples as float64, one channel beside the other."""
    if layout.width == 3:
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return wide.view("<i4").ravel() / 2.0**31
    values = np.frombuffer(data, DTYPES[layout.kind, layout.width]).astype(np.float64)
    if layout.kind == FLOAT:
        return values
    if layout.width == 1:
        return (values - 128) / 128
    return values / 2.0 ** (8 * layout.width - 1)
