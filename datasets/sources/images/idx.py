"""The idx format of MNIST, plain or gzipped."""

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np

from ....core.errors import DataError
from ....core.reading import read_regular, why_unreadable
from ....formats.arrays import MAX_RATIO

UNSIGNED_BYTE = 0x08
MAX_BYTES = 2**31  # of a file
MAX_UNPACKED = 2**28  # bytes; a larger file may unpack to MAX_RATIO times its size
GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Return the uint8 array of `dimensions` axes that the idx file `path` holds.

    The format: two zero bytes, the type (0x08, unsigned byte), the number of axes, each axis as
    a big-endian 32-bit count, then the values, row by row. A name that ends in .gz is unpacked
    in memory.

    Raises:
        DataError: the file is truncated or corrupt.
    """
    start = 4 + 4 * dimensions
    content = _content(path, start)
    if content[:2] != b"\0\0"[: len(content)]:
        raise corrupt(path, f"it begins with {content[:2].hex()}, an idx file with 0000")
    if len(content) >= 4 and content[2] != UNSIGNED_BYTE:
        raise corrupt(path, f"its values have type 0x{content[2]:02x}, expected 0x08")
    if len(content) >= 4 and content[3] != dimensions:
        raise corrupt(path, f"it has {content[3]} dimensions, expected {dimensions}")
    if len(content) < start:
        raise too_short(path, f"its header has {start} bytes, the file {len(content)}")
    shape = [int(size) for size in np.frombuffer(content, ">u4", dimensions, offset=4)]
    # Python integers: an invalid header must not overflow to a plausible length.
    expected = start + math.prod(shape)
    if len(content) < expected:
        raise too_short(path, f"its header states {expected} bytes, the file has {len(content)}")
    if len(content) > expected:
        raise corrupt(path, f"its header states {expected} bytes, the file has {len(content)}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def too_short(path: Path, why: str) -> DataError:
    """Return the error for a truncated file."""
    return DataError(
        f"{path} ends too early",
        why=f"{why}; probably an interrupted download",
        remedy="delete it and run again",
    )


def corrupt(path: Path, why: str) -> DataError:
    """Return the error for a file with invalid content."""
    return DataError(
        f"{path} is corrupt or not an idx file",
        why=why,
        remedy="replace it with the original file, or delete it and run again to download it",
    )


def _content(path: Path, start: int) -> bytes:
    """Return the unpacked content: as many bytes as the header states, and one more if any."""
    try:
        raw = read_regular(path, max_size=MAX_BYTES)
    except (OSError, ValueError) as error:
        raise DataError(f"could not read {path}", why=why_unreadable(error)) from error
    if path.suffix != ".gz":
        return raw
    if len(raw) < 2 and GZIP_MAGIC.startswith(raw):
        raise too_short(path, f"it has {len(raw)} bytes")
    try:
        with gzip.open(io.BytesIO(raw)) as stream:
            header = stream.read(start)
            sizes = np.frombuffer(header[: len(header) // 4 * 4], ">u4")[1:]
            limit = max(MAX_UNPACKED, MAX_RATIO * len(raw))
            expected = min(math.prod(int(size) for size in sizes), limit)
            return header + stream.read(expected + 1)
    except EOFError as error:
        raise too_short(path, "the gzip stream has no end") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise corrupt(path, str(error)) from error
