"""Tensors that an ONNX model keeps in other files beside it, as `torch.onnx.export` writes them."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import DataError
from ..core.reading import open_regular, why_unreadable
from .errors import InvalidFile, sanitize
from .files import MAX_SIZE

if TYPE_CHECKING:
    from onnx import TensorProto

KEYS = {"location", "offset", "length", "checksum"}


def is_external(tensor: TensorProto) -> bool:
    """Return whether the values of a tensor are in another file."""
    return tensor.data_location == tensor.EXTERNAL or len(tensor.external_data) > 0


def read_external(
    tensors: Iterable[tuple[str, TensorProto, int]], path: Path | str, *, room: int = MAX_SIZE
) -> None:
    """Read the values of tensors into them, from files in the folder of the model.

    Args:
        tensors: external ones: name, tensor, and the number of bytes of its type and shape.
        path: of the model.
        room: bytes to read at most.

    Raises:
        InvalidFile: a location is not the plain name of a regular file in that folder, a tensor
            states another length than its shape, lies beyond the file, or the tensors take more
            bytes than their files have, or than `room`.
        DataError: a file is missing.
    """
    taken: dict[str, int] = {}
    for name, tensor, size in tensors:
        name = sanitize(name, 60)
        file, offset = _place(name, tensor, size)
        taken[file] = taken.get(file, 0) + size
        if sum(taken.values()) > room:
            raise InvalidFile(f"its tensors take more than {room:,} bytes")
        tensor.raw_data = _read(Path(path).parent / file, name, offset, size, taken[file], path)
        tensor.ClearField("data_location")
        del tensor.external_data[:]


def _place(name: str, tensor: TensorProto, size: int) -> tuple[str, int]:
    """Return the file of a tensor and the offset in it."""
    pairs = [(pair.key, pair.value) for pair in tensor.external_data]
    stated = dict(pairs)
    if len(stated) != len(pairs) or not stated.keys() <= KEYS or "location" not in stated:
        raise InvalidFile(f"the tensor {name!r} does not state one place in another file")
    location = stated["location"]
    if location in ("", ".", "..") or any(sign in location for sign in "/\\:\0"):
        where = sanitize(location, 80)
        raise InvalidFile(f"the tensor {name!r} is stored in {where!r}, outside the folder")
    numbers = {key: stated.get(key, default) for key, default in (("offset", "0"), ("length", ""))}
    for key, text in numbers.items():
        if text and not (text.isascii() and text.isdecimal() and len(text) < 20):
            raise InvalidFile(f"the {key} of the tensor {name!r} is {sanitize(text, 40)!r}")
    if numbers["length"] and int(numbers["length"]) != size:
        raise InvalidFile(
            f"the tensor {name!r} states the shape {sanitize(list(tensor.dims), 60)}, of "
            f"{size:,} bytes, and {int(numbers['length']):,} bytes in {sanitize(location, 80)!r}"
        )
    return location, int(numbers["offset"] or 0)


def _read(file: Path, name: str, offset: int, size: int, taken: int, model: Path | str) -> bytes:
    where = sanitize(file.name, 80)
    try:
        found = os.lstat(file)
    except FileNotFoundError as error:
        raise DataError(
            f"{sanitize(model)} is one of two files",
            why=f"its weights are in {where}, which is not beside it",
            remedy=f"put {where} into its folder, under that name; torch.onnx.export(..., "
            "external_data=False) writes one file",
        ) from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a link" if stat.S_ISLNK(found.st_mode) else "not a regular file"
        raise InvalidFile(f"the tensor {name!r} is stored in {where!r}, which is {kind}")
    if offset + size > found.st_size or taken > found.st_size:
        raise InvalidFile(
            f"the tensor {name!r} takes {size:,} bytes from {offset:,} of {where!r}, which has "
            f"{found.st_size:,}, {taken:,} of them taken"
        )
    try:
        with open_regular(file, max_size=MAX_SIZE) as opened:
            opened.seek(offset)
            content = opened.read(size)
    except (OSError, ValueError) as error:
        raise InvalidFile(f"{where!r} cannot be read: {why_unreadable(error)}") from error
    if len(content) != size:
        raise InvalidFile(f"{where!r} changes while it is read")
    return content


def size_of(shape: Iterable[int], bits: int) -> int:
    """Return the bytes of values of a number of bits."""
    return -(-math.prod(shape) * bits // 8)
