"""NumPy's files from people whom one does not know: no pickles, and no more memory than they hold.

numpy itself allocates what a header asks for before it looks at what is there, and unpacks a zip
however large it becomes.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
from numpy.lib import format as npy

MOST_ARRAYS = 10_000
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
FREE = 2**30  # bytes that any archive may unpack to
PIECE = 2**20
RATIO = 200  # and beyond, how many bytes each of its own may become


def read_npz(source: Path | BinaryIO) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file by name.

    Raises:
        ValueError: it holds Python objects, too many arrays, arrays that are not what their
            headers say, or it unpacks to more than a gigabyte and 200 times its own size.
        OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError: it
            cannot be read, or is damaged.
    """
    with zipfile.ZipFile(source) as archive:
        entries = [each for each in archive.infolist() if each.filename.endswith(".npy")]
        if len(entries) > MOST_ARRAYS:
            raise ValueError(f"it holds {len(entries)} arrays; at most {MOST_ARRAYS} are read")
        packed = source.stat().st_size if isinstance(source, Path) else source.seek(0, 2)
        whole = sum(entry.file_size for entry in entries)
        if whole > max(FREE, RATIO * packed):
            raise ValueError(
                f"its {packed:,} bytes unpack to {whole:,}; at most {RATIO} times as many, or "
                f"{FREE:,}, are unpacked"
            )
        names = (entry.filename.removesuffix(".npy") for entry in entries)
        return {
            name: _read(io.BytesIO(read_member(archive, entry)))
            for name, entry in zip(names, entries, strict=True)
        }


def read_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return a file of a zip, unpacked no further than to the size that its entry tells.

    Raises:
        ValueError: it is packed in another way than deflated, or is larger than its entry tells.
        Whatever zipfile raises.
    """
    if entry.compress_type not in METHODS:
        raise ValueError(f"{entry.filename} is neither stored nor deflated")
    with archive.open(entry) as file:
        pieces = []
        left = entry.file_size
        while left > 0:
            piece = file.read(min(left, PIECE))  # a read of all would unpack all before it counts
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
        file.read(1)  # compares the checksum
    return b"".join(pieces)


def read_npy(content: bytes) -> np.ndarray:
    """Return the array in the bytes of an .npy file.

    Raises:
        ValueError: it holds Python objects, or is not what its header says.
    """
    return _read(io.BytesIO(content))


def _read(file: IO[bytes]) -> np.ndarray:
    try:
        version = npy.read_magic(file)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = header(file)
    except Exception as error:  # numpy parses headers as Python, and raises what that raises
        raise ValueError(f"the header of an array cannot be read: {error}") from error
    if dtype.hasobject:
        raise ValueError("an array holds Python objects; allow_pickle is never set")
    if dtype.itemsize == 0:
        raise ValueError("an array holds values of no size")
    content = file.read()
    wanted = math.prod(shape) * dtype.itemsize
    if len(content) != wanted or min(shape, default=0) < 0:
        raise ValueError(f"an array of shape {list(shape)} has {len(content)} bytes, not {wanted}")
    array = np.frombuffer(content, dtype) if wanted else np.zeros(math.prod(shape), dtype)
    return array.reshape(shape, order="F" if fortran else "C").copy()
