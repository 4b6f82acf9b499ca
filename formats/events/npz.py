"""Many recordings in one .npz: the columns t, x, y, p, and where each recording begins.

Arrays: t in microseconds, x, y, p, each [E]; `offsets` [N + 1], without it there is one recording;
and where the file has them `size` (height, width), `labels` [N], `class_names`, `sample_id` [N].
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...core.reading import open_regular
from ..arrays import MAX_FILE, read_npz
from ..errors import InvalidFile
from ..files import MIB
from .columns import check_whole_numbers, event_columns
from .recording import Recordings, Size

COLUMNS = ("t", "x", "y", "p")
# A file may unpack to 32 MiB, a large one to 16 times its size; N-MNIST to 2.3 times.
MAX_UNPACKED = 32 * MIB
MAX_RATIO = 16
MAX_SIDE = 1 << 24


def decode(content: bytes) -> Recordings:
    """Return the recordings of an .npz file.

    Raises:
        InvalidFile: it is damaged, an array is missing, or the arrays contradict each other.
    """
    return _read(io.BytesIO(content))


def read(path: Path | str) -> Recordings:
    """Return the recordings of an .npz file on disk; see `decode`."""
    try:
        file = open_regular(path, max_size=MAX_FILE)
    except ValueError as error:
        raise InvalidFile(str(error)) from error
    with file:
        return _read(file)


def _read(source: BinaryIO) -> Recordings:
    try:
        with zipfile.ZipFile(source) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        packed = source.seek(0, 2)
        if unpacked > max(MAX_UNPACKED, MAX_RATIO * packed):
            raise InvalidFile(f"its {packed:,} bytes unpack to {unpacked:,}")
        arrays = read_npz(source)
    except InvalidFile:
        raise
    # Positions in a damaged archive can be negative, which Python's zipfile meets as ValueError.
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise InvalidFile(f"its archive is damaged: {error}") from error
    except (NotImplementedError, RuntimeError) as error:
        raise InvalidFile(f"its archive cannot be unpacked: {error}") from error
    return from_arrays(arrays)


def from_arrays(arrays: dict[str, np.ndarray]) -> Recordings:
    """Return the recordings that named arrays hold.

    Raises:
        InvalidFile: as `decode`.
    """
    missing = [name for name in COLUMNS if name not in arrays]
    if missing:
        raise InvalidFile(f"it has no array {' and no '.join(missing)}; recordings have t, x, y, p")
    size = _size(arrays["size"]) if "size" in arrays else None
    t, x, y, p = event_columns(arrays, size)
    offsets = np.array([0, len(t)], np.int64)
    if "offsets" in arrays:
        offsets = _offsets(arrays["offsets"], len(t))
    count = len(offsets) - 1
    labels, sample_id = (_numbers(arrays, name, count) for name in ("labels", "sample_id"))
    names = arrays.get("class_names")
    if names is not None and (names.dtype.kind != "U" or names.ndim != 1):
        raise InvalidFile(f"class_names is {names.dtype} {list(names.shape)}, not a column of text")
    class_names = None if names is None else tuple(names.tolist())
    check_labels(labels, class_names)
    return Recordings(t, x, y, p, offsets, size, labels, class_names, sample_id)


def check_labels(labels: np.ndarray | None, class_names: tuple[str, ...] | None) -> None:
    """Refuse labels that have no name, where there are names.

    Raises:
        InvalidFile: with the first of them.
    """
    if labels is None or class_names is None or not len(labels):
        return
    bad = (labels < 0) | (labels >= len(class_names))
    if bad.any():
        first = int(np.argmax(bad))
        raise InvalidFile(
            f"recording {first} has the label {labels[first]}, and there are "
            f"{len(class_names)} names of classes"
        )


def _numbers(arrays: dict[str, np.ndarray], name: str, count: int) -> np.ndarray | None:
    if name not in arrays:
        return None
    check_whole_numbers(name, arrays[name], count)
    return arrays[name].astype(np.int64)


def _offsets(values: np.ndarray, count: int) -> np.ndarray:
    check_whole_numbers("offsets", values, None)
    offsets = values.astype(np.int64)
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != count or np.any(np.diff(offsets) < 0):
        raise InvalidFile(f"offsets do not go up from 0 to the number of events, {count:,}")
    return offsets


def _size(values: np.ndarray) -> Size:
    check_whole_numbers("size", values, 2)
    height, width = values.tolist()
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise InvalidFile(f"its size is {height} by {width}; it has height and width in pixels")
    return height, width
