"""Tensors of safetensors files from any writer, without torch.

Format: eight bytes of length, a JSON header, the data; https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.documents import read_json
from ..core.errors import DataError
from .errors import InvalidFile, sanitize, unreadable
from .files import MIB, read_bytes
from .finite import all_finite
from .kinds import refuse_pickle

MAX_HEADER = 8 * MIB
MAX_DIMS = 32
BITS = {
    name: bits
    for bits, names in {
        4: "F4",
        6: "F6_E2M3 F6_E3M2",
        8: "BOOL U8 I8 F8_E4M3 F8_E5M2 F8_E8M0",
        16: "U16 I16 F16 BF16",
        32: "U32 I32 F32",
        64: "U64 I64 F64 C64",
    }.items()
    for name in names.split()
}
DTYPES = {name: f"<{name[0].lower()}{bits // 8}" for name, bits in BITS.items() if bits > 8}
DTYPES |= {"BOOL": "?", "U8": "u1", "I8": "i1", "BF16": "<u2"}


@dataclass(frozen=True)
class TensorInfo:
    """Type, shape and data offsets of a tensor, counted from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def count(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Weights:
    """The tensors of a safetensors file.

    Attributes:
        metadata: strings by name.
        tensors: type, shape and offsets of each tensor.
        data: the bytes of all tensors.
    """

    metadata: dict[str, str]
    tensors: dict[str, TensorInfo]
    data: memoryview

    def array(self, name: str) -> np.ndarray | None:
        """Return a tensor, BF16 as float32; None for types that numpy does not have."""
        info = self.tensors[name]
        if info.dtype not in DTYPES:
            return None
        values = np.frombuffer(self.data[info.begin : info.end], DTYPES[info.dtype])
        if info.dtype == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values.reshape(info.shape)


def read_weights(path: Path | str) -> Weights:
    """Return the tensors of a safetensors file.

    Raises:
        DataError: the file is missing, damaged or hostile: a header longer than the file, tensors
            that overlap or end outside the file, data that do not have the stated shape, NaN; or it
            is a pickle.
    """
    content = read_bytes(path)
    refuse_pickle(path, content[:64])
    try:
        weights = _parse(content)
        for name in weights.tensors:
            _check_values(weights, name)
    except (ValueError, RecursionError, MemoryError) as error:
        why = "its header is nested too deep" if isinstance(error, RecursionError) else error
        raise unreadable(path, why, what="safetensors file") from error
    return weights


def _parse(content: bytes) -> Weights:
    if len(content) < 10:
        raise InvalidFile("it is shorter than any header")
    length = int.from_bytes(content[:8], "little")
    if length > len(content) - 8:
        raise InvalidFile(f"its header has {length:,} bytes, the file {len(content):,}")
    if length > MAX_HEADER:
        raise InvalidFile(f"its header has {length:,} bytes, at most {MAX_HEADER:,} are read")
    try:
        header = json.loads(content[8 : 8 + length].decode(), object_pairs_hook=_unique_names)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidFile("its header is not JSON") from error
    if not isinstance(header, dict):
        raise InvalidFile("its header names no tensors")
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise InvalidFile("its metadata are not strings by name")
    data = memoryview(content)[8 + length :]
    found = {name: _tensor_info(sanitize(name, 60), entry) for name, entry in header.items()}
    _check_offsets(found, len(data))
    return Weights(metadata, found, data)


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InvalidFile("a name occurs twice in its header")
    return found


def _tensor_info(name: str, entry: Any) -> TensorInfo:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise InvalidFile(f"the tensor {name!r} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise InvalidFile(f"the tensor {name!r} has the unknown type {sanitize(dtype, 40)!r}")
    if not _are_sizes(shape) or len(shape) > MAX_DIMS:
        raise InvalidFile(f"the tensor {name!r} has the shape {sanitize(shape, 60)}")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise InvalidFile(f"the tensor {name!r} has the offsets {sanitize(offsets, 60)}")
    info = TensorInfo(dtype, tuple(shape), *offsets)
    if info.count * BITS[dtype] != 8 * (info.end - info.begin):
        raise InvalidFile(
            f"the tensor {name!r} states {dtype} {sanitize(shape, 60)} and has "
            f"{info.end - info.begin:,} bytes"
        )
    return info


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(
        type(value) is int and 0 <= value < 1 << 60 for value in values
    )


def _check_offsets(found: dict[str, TensorInfo], size: int) -> None:
    """Check that the tensors fill the file without gaps and overlaps, as the format requires."""
    end = 0
    for name, info in sorted(found.items(), key=lambda item: (item[1].begin, item[1].end)):
        if info.end > size:
            raise InvalidFile(
                f"the tensor {sanitize(name, 60)!r} ends at byte {info.end:,} of {size:,}: "
                "the file was cut off"
            )
        if info.begin != end:
            what = "overlaps another" if info.begin < end else "follows a gap"
            raise InvalidFile(f"the tensor {sanitize(name, 60)!r} {what}")
        end = info.end
    if end != size:
        raise InvalidFile(f"{size - end:,} bytes belong to no tensor")


def _check_values(weights: Weights, name: str) -> None:
    values = weights.array(name) if weights.tensors[name].dtype[0] in "FBC" else None
    if values is not None and not all_finite(values):
        raise InvalidFile(f"the tensor {sanitize(name, 60)!r} holds values that are not finite")


def read_configuration(weights: Weights) -> dict[str, Any] | None:
    """Return the description of the network in a model file of asnn, None in other files.

    Raises:
        DataError: the description is invalid.
    """
    text = weights.metadata.get("asnn")
    if text is None:
        return None
    try:
        found = read_json(text)
    except ValueError as error:
        raise DataError(
            "the header of the file does not describe a network", why=sanitize(error)
        ) from error
    if not isinstance(found.get("model"), dict):
        raise DataError("the header of the file does not describe a network")
    return found
