"""Weights in safetensors files that somebody else made, by their header, without torch.

Format: https://huggingface.co/docs/safetensors, eight bytes of length, a JSON header, the values.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import DataError
from .finite import is_finite
from .opening import MIB, clean, damaged, read_bytes, refuse_pickle

LONGEST_HEADER = 8 * MIB
MOST_AXES = 32
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


class Fault(ValueError):
    """A header that no such file has."""


@dataclass(frozen=True)
class Stored:
    """A tensor in the file: where its values begin and end, counted from the end of the header."""

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
        tensors: where each tensor lies.
        data: the values, as they lie in the file.
    """

    metadata: dict[str, str]
    tensors: dict[str, Stored]
    data: memoryview

    def array(self, name: str) -> np.ndarray | None:
        """Return a tensor, BF16 as float32; None for types that numpy has not."""
        stored = self.tensors[name]
        if stored.dtype not in DTYPES:
            return None
        values = np.frombuffer(self.data[stored.begin : stored.end], DTYPES[stored.dtype])
        if stored.dtype == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values.reshape(stored.shape)


def read_weights(path: Path | str) -> Weights:
    """Return the tensors of a safetensors file.

    Raises:
        DataError: the file is missing, damaged or hostile: a header longer than the file, tensors
            that overlap or lie outside, a shape that its bytes do not have, NaN; or it is a pickle.
    """
    content = read_bytes(path)
    refuse_pickle(path, content[:64])
    try:
        weights = _parse(content)
        for name in weights.tensors:
            _check_values(weights, name)
    except (Fault, ValueError, RecursionError, MemoryError) as error:
        why = "its header is nested too deep" if isinstance(error, RecursionError) else error
        raise damaged(path, why, what="safetensors file") from error
    return weights


def _parse(content: bytes) -> Weights:
    if len(content) < 10:
        raise Fault("it is shorter than any header")
    length = int.from_bytes(content[:8], "little")
    if length > len(content) - 8:
        raise Fault(f"its header has {length:,} bytes, the file {len(content):,}")
    if length > LONGEST_HEADER:
        raise Fault(f"its header has {length:,} bytes, at most {LONGEST_HEADER:,} are read")
    try:
        header = json.loads(content[8 : 8 + length].decode(), object_pairs_hook=_once)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Fault("its header is not JSON") from error
    if not isinstance(header, dict):
        raise Fault("its header names no tensors")
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise Fault("its metadata are not strings by name")
    data = memoryview(content)[8 + length :]
    found = {name: _stored(clean(name, 60), entry) for name, entry in header.items()}
    _check_places(found, len(data))
    return Weights(metadata, found, data)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Fault("a name stands twice in its header")
    return found


def _stored(name: str, entry: Any) -> Stored:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise Fault(f"the tensor {name!r} is not described by dtype, shape and data_offsets")
    dtype, shape, places = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise Fault(f"the tensor {name!r} has the unknown type {clean(dtype, 40)!r}")
    if not _whole(shape) or len(shape) > MOST_AXES:
        raise Fault(f"the tensor {name!r} has the shape {clean(shape, 60)}")
    if not _whole(places) or len(places) != 2 or places[0] > places[1]:
        raise Fault(f"the tensor {name!r} has the offsets {clean(places, 60)}")
    stored = Stored(dtype, tuple(shape), *places)
    if stored.count * BITS[dtype] != 8 * (stored.end - stored.begin):
        raise Fault(
            f"the tensor {name!r} states {dtype} {clean(shape, 60)} and has "
            f"{stored.end - stored.begin:,} bytes"
        )
    return stored


def _whole(values: Any) -> bool:
    return isinstance(values, list) and all(
        type(value) is int and 0 <= value < 1 << 60 for value in values
    )


def _check_places(found: dict[str, Stored], size: int) -> None:
    """Check that the tensors follow each other without overlap and fill the file, as they must."""
    end = 0
    for name, stored in sorted(found.items(), key=lambda item: (item[1].begin, item[1].end)):
        if stored.end > size:
            raise Fault(
                f"the tensor {clean(name, 60)!r} ends at byte {stored.end:,} of {size:,}: the file "
                "was cut off"
            )
        if stored.begin != end:
            what = "overlaps another" if stored.begin < end else "follows a gap"
            raise Fault(f"the tensor {clean(name, 60)!r} {what}")
        end = stored.end
    if end != size:
        raise Fault(f"{size - end:,} bytes belong to no tensor")


def _check_values(weights: Weights, name: str) -> None:
    values = weights.array(name) if weights.tensors[name].dtype[0] in "FBC" else None
    if values is not None and not is_finite(values):
        raise Fault(f"the tensor {clean(name, 60)!r} holds values that are not finite")


def read_configuration(weights: Weights) -> dict[str, Any] | None:
    """Return what asnn wrote into the header of a model file, or None where another wrote it.

    Raises:
        DataError: it is not what asnn writes.
    """
    text = weights.metadata.get("asnn")
    if text is None:
        return None
    try:
        found = json.loads(text)
        if isinstance(found, dict) and isinstance(found.get("model"), dict):
            return found
    except (ValueError, RecursionError):
        pass
    raise DataError("the header of the file does not describe a network")
