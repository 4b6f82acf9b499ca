"""NumPy archives and arrays that somebody else made: their headers, and whether they are whole."""

from __future__ import annotations

import ast
import math
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
from numpy.lib.format import descr_to_dtype

from ..core.files import ARCHIVE_ERRORS
from .opening import GIB, MIB, NPY, check_file, clean, damaged, is_pickle

LONGEST_HEADER = 64 << 10
LARGEST_DIRECTORY = 2 * MIB  # some 20,000 members
# What an archive may declare: this much whatever its size, and more only as it is larger itself.
DECLARED = 256 * MIB
DECLARED_BY_SIZE = 64
DECLARED_AT_MOST = 4 * GIB
PICKLES = (".pkl", ".pickle")
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Fault(ValueError):
    """A header or an archive that numpy does not write."""


class Pickled(ValueError):
    """An array of Python objects, or another pickle."""


@dataclass(frozen=True)
class Array:
    """An array in a file: its name (empty for a `.npy`), type and shape."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_arrays(path: Path | str) -> list[Array]:
    """Return the arrays of a `.npz` or `.npy` file, after reading it through once.

    Nothing is kept in memory but one block, and nothing is unpickled.

    Raises:
        DataError: the file is missing, damaged or hostile: Python objects in place of numbers,
            names that lead out of a folder, an archive that inflates without end.
    """
    size = check_file(path)
    try:
        with open(path, "rb") as file:
            if file.read(len(NPY)) == NPY:
                file.seek(0)
                return [_read(file, "", size)]
            return list(_members(file, size))
    except Pickled as error:
        raise is_pickle(path) from error
    except ARCHIVE_ERRORS as error:
        why = clean(error) or type(error).__name__
        raise damaged(path, why, what="NumPy file") from error


def read_text(path: Path | str, name: str) -> str | None:
    """Return an array of one string from an archive that `read_arrays` has read, or None.

    Raises:
        DataError: it cannot be read.
    """
    found = next((array for array in read_arrays(path) if array.name == name), None)
    if found is None or found.dtype.kind != "U" or found.shape != () or found.bytes > MIB:
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            return str(archive[name])
    except ARCHIVE_ERRORS as error:
        raise damaged(path, error, what="NumPy file") from error


def _members(file: BinaryIO, size: int) -> Iterator[Array]:
    _check_directory(file, size)
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if not infos:
            raise Fault("it holds no arrays")
        if any(info.filename.endswith(PICKLES) for info in infos):
            raise Pickled
        _check_sizes(infos, size)
        names = [info.filename for info in infos]
        if len(set(names)) < len(names):
            raise Fault("a name stands twice in it")
        for info in infos:
            _check_name(info.filename)
            if info.flag_bits & 1:
                raise Fault(f"{clean(info.filename, 60)} is encrypted")
            if info.compress_type not in METHODS:
                raise Fault(f"{clean(info.filename, 60)} is compressed in an unknown way")
            with archive.open(info) as member:
                yield _read(member, info.filename.removesuffix(".npy"), info.file_size)


def _check_directory(file: BinaryIO, size: int) -> None:
    """Refuse a list of members that alone would take long to read."""
    tail = 22 + 65535
    file.seek(max(0, size - tail))
    end = file.read(tail)
    place = end.rfind(b"PK\x05\x06")
    if place < 0 or len(end) - place < 22:
        raise Fault("it ends before its list of members: the file was cut off")
    length = struct.unpack("<L", end[place + 12 : place + 16])[0]
    wide = end.rfind(b"PK\x06\x06", 0, place)  # the record of large archives, and of torch
    if 0 <= wide <= len(end) - 48:
        length = max(length % 0xFFFFFFFF, struct.unpack("<Q", end[wide + 40 : wide + 48])[0])
    if length > LARGEST_DIRECTORY:
        raise Fault("its list of members is longer than that of any such file")


def _check_sizes(infos: list[zipfile.ZipInfo], size: int) -> None:
    declared = sum(info.file_size for info in infos)
    most = min(DECLARED_AT_MOST, max(DECLARED, DECLARED_BY_SIZE * size))
    if declared > most:
        raise Fault(f"it has {size:,} bytes and states that it unpacks to {declared:,}")


def _check_name(name: str) -> None:
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or parts[0] == "" or ":" in parts[0]:
        raise Fault(f"the name {clean(name, 60)!r} leads out of a folder")
    if not name.endswith(".npy"):
        raise Fault(f"the member {clean(name, 60)!r} is not an array")


def _read(file: IO[bytes], name: str, size: int) -> Array:
    """Return the header of an array, having read its values through: their count and checksum."""
    what = f"the array {clean(name, 60)!r}" if name else "the array"
    head = file.read(8)
    if head[:1] == b"\x80":
        raise Pickled
    if len(head) < 8 or head[:6] != NPY or head[6] not in (1, 2, 3):
        raise Fault(f"{what} has no header of NumPy's")
    width = 2 if head[6] == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    if length > LONGEST_HEADER:
        raise Fault(f"the header of {what} has {length:,} bytes")
    array = _header(file.read(length), name, what, utf8=head[6] == 3)
    expected = size - 8 - width - length
    if array.bytes != expected:
        raise Fault(
            f"{what} states the shape {clean(list(array.shape), 60)} and has {expected:,} bytes"
        )
    there = 0
    while block := file.read(MIB):
        there += len(block)
    if there != expected:
        raise Fault(f"{what} was cut off")
    return array


def _header(text: bytes, name: str, what: str, *, utf8: bool) -> Array:
    try:
        found = ast.literal_eval(text.decode("utf-8" if utf8 else "latin1").strip())
        dtype, shape = descr_to_dtype(found["descr"]), found["shape"]
        order = found["fortran_order"]
    except (SyntaxError, MemoryError, RecursionError, *ARCHIVE_ERRORS) as error:
        raise Fault(f"the header of {what} cannot be read") from error
    if dtype.hasobject:
        raise Pickled
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise Fault(f"{what} has the shape {clean(shape, 60)}")
    if not isinstance(order, bool) or len(found) != 3:
        raise Fault(f"the header of {what} is not NumPy's")
    return Array(name, dtype, shape)
