"""NumPy arrays and archives, without pickles and without unbounded memory.

numpy itself allocates what a header states before it reads the data, and unpacks a zip of any size.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import IO, BinaryIO, Literal

import numpy as np
from numpy.lib import format as npy

from ..core.reading import open_regular
from .errors import InvalidFile, sanitize

MAX_ARRAYS = 10_000
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# An archive may unpack to 1 GiB, a large one to 200 times its size.
MAX_UNPACKED = 2**30
MAX_RATIO = 200
MAX_FILE = 2**40  # bytes
BLOCK = 2**20


def read_npz(source: Path | BinaryIO) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file by name.

    Raises:
        InvalidFile: it holds Python objects, too many arrays, two of one name, arrays that differ
            from their headers, or it unpacks to more than 1 GiB and 200 times its size.
        ValueError: it is a pipe, a device or a folder, which is not opened.
        OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError: it
            cannot be read, or is damaged.
    """
    if isinstance(source, Path):
        with open_regular(source, max_size=MAX_FILE) as file:
            return read_npz(file)
    with zipfile.ZipFile(source) as archive:
        entries = [each for each in archive.infolist() if each.filename.endswith(".npy")]
        if len(entries) > MAX_ARRAYS:
            raise InvalidFile(f"it holds {len(entries)} arrays; at most {MAX_ARRAYS} are read")
        packed = source.seek(0, 2)
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > max(MAX_UNPACKED, MAX_RATIO * packed):
            raise InvalidFile(
                f"its {packed:,} bytes unpack to {unpacked:,}; at most {MAX_RATIO} times as many, "
                f"or {MAX_UNPACKED:,}, are unpacked"
            )
        names = [entry.filename.removesuffix(".npy") for entry in entries]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidFile(f"it holds two arrays of the name {sanitize(twice, 60)}")
        return {
            name: _read(io.BytesIO(read_member(archive, entry)))
            for name, entry in zip(names, entries, strict=True)
        }


def read_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return a member of a zip, unpacked up to the size that its entry states.

    Raises:
        InvalidFile: its compression is not deflate.
        zipfile.BadZipFile: the checksum differs, as it does for a member that is larger than its
            entry states.
        zlib.error, EOFError, NotImplementedError, RuntimeError: it cannot be unpacked.
    """
    if entry.compress_type not in METHODS:
        raise InvalidFile(f"{entry.filename} is neither stored nor deflated")
    with archive.open(entry) as file:
        blocks = []
        left = entry.file_size
        while left > 0:
            block = file.read(min(left, BLOCK))  # read() would unpack all data before it counts
            if not block:
                break
            blocks.append(block)
            left -= len(block)
        file.read(1)  # compares the checksum
    return b"".join(blocks)


def read_npy(content: bytes) -> np.ndarray:
    """Return the array in the bytes of an .npy file.

    Raises:
        InvalidFile: it holds Python objects, or its data differ from its header.
    """
    return _read(io.BytesIO(content))


def map_npy(path: Path) -> np.ndarray:
    """Return the array in an .npy file on disk, whose values are read when they are used.

    Raises:
        InvalidFile: it holds Python objects, or its data differ from its header.
        ValueError: it is a pipe, a device or a folder, which is not opened.
        OSError: it cannot be read.
    """
    with open_regular(path, max_size=MAX_FILE) as file:
        shape, order, dtype = _header(file)
        begin = file.tell()
        length = file.seek(0, 2) - begin
        _check_length(shape, dtype, length)
        if not length:
            return np.zeros(shape, dtype)
        return np.memmap(file, dtype, "r", begin, shape, order)


def _read(file: IO[bytes]) -> np.ndarray:
    shape, order, dtype = _header(file)
    content = file.read()
    _check_length(shape, dtype, len(content))
    array = np.frombuffer(content, dtype) if content else np.zeros(math.prod(shape), dtype)
    return array.reshape(shape, order=order).copy()


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype]:
    """Return shape, order and type of an array whose data follow."""
    try:
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read_header(file)
    except Exception as error:  # numpy evaluates the header as Python and raises anything
        raise InvalidFile(f"the header of an array cannot be read: {error}") from error
    if dtype.hasobject:
        raise InvalidFile("an array holds Python objects; allow_pickle is never set")
    if dtype.itemsize == 0:
        raise InvalidFile("an array holds values of no size")
    if not all(type(size) is int for size in shape):  # True counts as an integer for numpy
        raise InvalidFile(f"an array has the shape {sanitize(shape, 60)}")
    return shape, "F" if fortran else "C", dtype


def _check_length(shape: tuple[int, ...], dtype: np.dtype, length: int) -> None:
    expected = math.prod(shape) * dtype.itemsize
    if length != expected or min(shape, default=0) < 0:
        raise InvalidFile(f"an array of shape {list(shape)} has {length} bytes, not {expected}")
