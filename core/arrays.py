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
FREE = 2**30  # bytes that any archive may unpack to
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
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        if len(entries) > MOST_ARRAYS:
            raise ValueError(f"it holds {len(entries)} files; at most {MOST_ARRAYS} are read")
        packed = sum(entry.compress_size for entry in entries)
        whole = sum(entry.file_size for entry in entries)
        if whole > max(FREE, RATIO * packed):
            raise ValueError(
                f"its {packed:,} bytes unpack to {whole:,}; at most {RATIO} times as many, or "
                f"{FREE:,}, are unpacked"
            )
        arrays = {}
        for entry in entries:
            if entry.filename.endswith(".npy"):
                with archive.open(entry) as file:
                    name = entry.filename.removesuffix(".npy")
                    arrays[name] = _read(file)
        return arrays


def read_npy(content: bytes) -> np.ndarray:
    """Return the array in the bytes of an .npy file.

    Raises:
        ValueError: it holds Python objects, or is not what its header says.
    """
    return _read(io.BytesIO(content))


def _read(file: IO[bytes]) -> np.ndarray:
    version = npy.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = npy.read_array_header_1_0(file)
    elif version in ((2, 0), (3, 0)):
        shape, fortran, dtype = npy.read_array_header_2_0(file)
    else:
        raise ValueError(f"an array has the format {version[0]}.{version[1]}")
    if dtype.hasobject:
        raise ValueError("an array holds Python objects; allow_pickle is never set")
    content = file.read()
    wanted = math.prod(shape) * dtype.itemsize
    if len(content) != wanted or min(shape, default=0) < 0:
        raise ValueError(f"an array of shape {list(shape)} has {len(content)} bytes, not {wanted}")
    array = np.frombuffer(content, dtype) if wanted else np.zeros(math.prod(shape), dtype)
    return array.reshape(shape, order="F" if fortran else "C").copy()
