"""Headers of NumPy archives and arrays, and checks that their data are complete."""

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
from .errors import InvalidFile, pickle_refused, sanitize, unreadable
from .files import GIB, MIB, check_file
from .kinds import NPY_MAGIC

MAX_HEADER = 64 << 10
MAX_DIRECTORY = 2 * MIB  # some 20,000 members
# An archive may declare 256 MiB of data, a large one 64 times its size, none more than 4 GiB.
MAX_DECLARED_SMALL = 256 * MIB
MAX_DECLARED_RATIO = 64
MAX_DECLARED = 4 * GIB
PICKLE_SUFFIXES = (".pkl", ".pickle")
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class _PickleFound(InvalidFile):
    """An array of Python objects, or another pickle."""


@dataclass(frozen=True)
class ArrayInfo:
    """Name (empty for a `.npy`), type and shape of an array in a file."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_array_headers(path: Path | str) -> list[ArrayInfo]:
    """Return the headers of a `.npz` or `.npy` file, after reading all data once.

    Memory holds one block at a time, and nothing is unpickled.

    Raises:
        DataError: the file is missing, damaged or hostile: Python objects instead of numbers,
            names that lead out of a folder, an archive that unpacks to too much.
    """
    size = check_file(path)
    try:
        with open(path, "rb") as file:
            if file.read(len(NPY_MAGIC)) == NPY_MAGIC:
                file.seek(0)
                return [_read_array(file, "", size)]
            return list(_read_members(file, size))
    except _PickleFound as error:
        raise pickle_refused(path) from error
    except ARCHIVE_ERRORS as error:
        why = sanitize(error) or type(error).__name__
        raise unreadable(path, why, what="NumPy file") from error


def read_text(path: Path | str, name: str) -> str | None:
    """Return the array `name` of an archive if it is a single string, or None.

    Raises:
        DataError: as `read_array_headers`.
    """
    found = next((array for array in read_array_headers(path) if array.name == name), None)
    if found is None or found.dtype.kind != "U" or found.shape != () or found.bytes > MIB:
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            return str(archive[name])
    except ARCHIVE_ERRORS as error:
        raise unreadable(path, error, what="NumPy file") from error


def _read_members(file: BinaryIO, size: int) -> Iterator[ArrayInfo]:
    _check_directory(file, size)
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if not infos:
            raise InvalidFile("it holds no arrays")
        if any(info.filename.endswith(PICKLE_SUFFIXES) for info in infos):
            raise _PickleFound
        _check_declared_size(infos, size)
        names = [info.filename for info in infos]
        if len(set(names)) < len(names):
            raise InvalidFile("a name occurs twice in it")
        for info in infos:
            _check_name(info.filename)
            if info.flag_bits & 1:
                raise InvalidFile(f"{sanitize(info.filename, 60)} is encrypted")
            if info.compress_type not in METHODS:
                raise InvalidFile(f"{sanitize(info.filename, 60)} is compressed in an unknown way")
            with archive.open(info) as member:
                yield _read_array(member, info.filename.removesuffix(".npy"), info.file_size)


def _check_directory(file: BinaryIO, size: int) -> None:
    """Refuse a central directory that would take long to read."""
    max_tail = 22 + 65535  # the end record and its longest comment
    file.seek(max(0, size - max_tail))
    tail = file.read(max_tail)
    record = tail.rfind(b"PK\x05\x06")
    if record < 0 or len(tail) - record < 22:
        raise InvalidFile("it ends before its list of members: the file was cut off")
    length = struct.unpack("<L", tail[record + 12 : record + 16])[0]
    zip64 = tail.rfind(b"PK\x06\x06", 0, record)  # large archives, and those of torch
    if 0 <= zip64 <= len(tail) - 48:
        length = max(length % 0xFFFFFFFF, struct.unpack("<Q", tail[zip64 + 40 : zip64 + 48])[0])
    if length > MAX_DIRECTORY:
        raise InvalidFile(f"its list of members has {length:,} bytes, at most {MAX_DIRECTORY:,}")


def _check_declared_size(infos: list[zipfile.ZipInfo], size: int) -> None:
    declared = sum(info.file_size for info in infos)
    if declared > min(MAX_DECLARED, max(MAX_DECLARED_SMALL, MAX_DECLARED_RATIO * size)):
        raise InvalidFile(f"it has {size:,} bytes and states that it unpacks to {declared:,}")


def _check_name(name: str) -> None:
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or parts[0] == "" or ":" in parts[0]:
        raise InvalidFile(f"the name {sanitize(name, 60)!r} leads out of a folder")
    if not name.endswith(".npy"):
        raise InvalidFile(f"the member {sanitize(name, 60)!r} is not an array")


def _read_array(file: IO[bytes], name: str, size: int) -> ArrayInfo:
    """Return the header of an array; read its data to check their length and checksum."""
    what = f"the array {sanitize(name, 60)!r}" if name else "the array"
    head = file.read(8)
    if head[:1] == b"\x80":
        raise _PickleFound
    if len(head) < 8 or head[:6] != NPY_MAGIC or head[6] not in (1, 2, 3):
        raise InvalidFile(f"{what} has no NumPy header")
    width = 2 if head[6] == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    if length > MAX_HEADER:
        raise InvalidFile(f"the header of {what} has {length:,} bytes")
    array = _parse_header(file.read(length), name, what, utf8=head[6] == 3)
    expected = size - 8 - width - length
    if array.bytes != expected:
        raise InvalidFile(
            f"{what} states the shape {sanitize(list(array.shape), 60)} and has {expected:,} bytes"
        )
    count = 0
    while block := file.read(MIB):
        count += len(block)
    if count != expected:
        raise InvalidFile(f"{what} was cut off")
    return array


def _parse_header(text: bytes, name: str, what: str, *, utf8: bool) -> ArrayInfo:
    try:
        header = ast.literal_eval(text.decode("utf-8" if utf8 else "latin1").strip())
        dtype, shape = descr_to_dtype(header["descr"]), header["shape"]
        order = header["fortran_order"]
    except (SyntaxError, MemoryError, RecursionError, *ARCHIVE_ERRORS) as error:
        raise InvalidFile(f"the header of {what} cannot be read") from error
    if dtype.hasobject:
        raise _PickleFound
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise InvalidFile(f"{what} has the shape {sanitize(shape, 60)}")
    if not isinstance(order, bool) or len(header) != 3:
        raise InvalidFile(f"{what} has no NumPy header")
    return ArrayInfo(name, dtype, shape)
