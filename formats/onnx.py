"""ONNX models from any writer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InvalidFile, sanitize, unreadable
from .external_tensors import is_external, read_external, size_of
from .files import MAX_SIZE, read_bytes
from .finite import all_finite
from .protobuf import check_message

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

# Bits of one value, and the field for values that are not in `raw_data`.
STORAGE = {
    "FLOAT": (32, "float_data"),
    "DOUBLE": (64, "double_data"),
    "FLOAT16": (16, "int32_data"),
    "BFLOAT16": (16, "int32_data"),
    "INT8": (8, "int32_data"),
    "UINT8": (8, "int32_data"),
    "INT16": (16, "int32_data"),
    "UINT16": (16, "int32_data"),
    "INT32": (32, "int32_data"),
    "UINT32": (32, "uint64_data"),
    "INT64": (64, "int64_data"),
    "UINT64": (64, "uint64_data"),
    "BOOL": (8, "int32_data"),
    "COMPLEX64": (64, "float_data"),
    "COMPLEX128": (128, "double_data"),
    "STRING": (0, "string_data"),
    "FLOAT8E4M3FN": (8, "int32_data"),
    "FLOAT8E4M3FNUZ": (8, "int32_data"),
    "FLOAT8E5M2": (8, "int32_data"),
    "FLOAT8E5M2FNUZ": (8, "int32_data"),
    "FLOAT8E8M0": (8, "int32_data"),
    "UINT4": (4, "int32_data"),
    "INT4": (4, "int32_data"),
    "FLOAT4E2M1": (4, "int32_data"),
    "UINT2": (2, "int32_data"),
    "INT2": (2, "int32_data"),
}


def read_onnx(path: Path | str) -> ModelProto:
    """Return the model in an ONNX file; nothing in it is run.

    Tensors that it keeps in other files of its folder are read into it.

    Raises:
        DataError: the file is missing, damaged, hostile or invalid: tensors in files elsewhere,
            data that do not have the stated shape, NaN, cycles, undefined inputs, or a version that
            the installed onnx does not support.
    """
    from google.protobuf.message import DecodeError
    from onnx import ModelProto
    from onnx.checker import ValidationError

    data = read_bytes(path)
    try:
        check_message(data, ModelProto.DESCRIPTOR)
        model = ModelProto.FromString(data)
        external = [each for each in tensors(model) if is_external(each[1])]
        if external:
            sized = ((name, tensor, _size(sanitize(name, 60), tensor)) for name, tensor in external)
            read_external(sized, path, room=MAX_SIZE - len(data))
            data = model.SerializeToString()
        _check(model)
        _validate(data)
    except InvalidFile as error:
        raise unreadable(path, error, what="ONNX model") from error
    except ValidationError as error:
        raise unreadable(path, str(error).split("\n\n")[0], what="ONNX model") from error
    except DecodeError as error:
        raise unreadable(path, "its bytes are not a protobuf message", what="ONNX model") from error
    except (ValueError, TypeError, RuntimeError, MemoryError) as error:
        raise unreadable(path, error or type(error).__name__, what="ONNX model") from error
    return model


def _validate(data: bytes) -> None:
    """Check operators, types, order and names by onnx, without shape inference."""
    from onnx.checker import check_model

    check_model(data)


def _check(model: ModelProto) -> None:
    from onnx import IR_VERSION

    if not model.HasField("graph"):
        raise InvalidFile("it holds no graph")
    if not 1 <= model.ir_version <= IR_VERSION:
        raise InvalidFile(
            f"its IR version is {model.ir_version}; the installed onnx reads 1 to {IR_VERSION}"
        )
    for name, tensor in tensors(model):
        _check_tensor(sanitize(name, 60), tensor)


def graphs(model: ModelProto) -> Iterator[GraphProto]:
    """Yield the graph of a model, and every graph in an attribute of its nodes."""
    waiting = [model.graph]
    waiting += [
        part for info in model.training_info for part in (info.initialization, info.algorithm)
    ]
    inner = [node for function in model.functions for node in function.node]
    waiting += [graph for node in inner for graph in _subgraphs(node)]
    while waiting:
        graph = waiting.pop()
        yield graph
        waiting += [found for node in graph.node for found in _subgraphs(node)]


def _subgraphs(node: NodeProto) -> list[GraphProto]:
    found = []
    for attribute in node.attribute:
        found += [attribute.g] if attribute.HasField("g") else []
        found += attribute.graphs
    return found


def tensors(model: ModelProto) -> Iterator[tuple[str, TensorProto]]:
    """Yield every tensor of a model with its name."""
    for graph in graphs(model):
        for tensor in graph.initializer:
            yield tensor.name, tensor
        for sparse in graph.sparse_initializer:
            yield from _sparse_tensors(sparse)
        for node in graph.node:
            yield from _node_tensors(node)
    for function in model.functions:
        for node in function.node:
            yield from _node_tensors(node)
        for attribute in function.attribute_proto:
            yield from _attribute_tensors(function.name, attribute)


def _node_tensors(node: NodeProto) -> Iterator[tuple[str, TensorProto]]:
    for attribute in node.attribute:
        yield from _attribute_tensors(node.name or node.op_type, attribute)


def _attribute_tensors(name: str, attribute: Any) -> Iterator[tuple[str, TensorProto]]:
    name = f"{name}.{attribute.name}"
    if attribute.HasField("t"):
        yield name, attribute.t
    for tensor in attribute.tensors:
        yield name, tensor
    for sparse in [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []:
        yield from _sparse_tensors(sparse)
    for sparse in attribute.sparse_tensors:
        yield from _sparse_tensors(sparse)


def _sparse_tensors(sparse: Any) -> Iterator[tuple[str, TensorProto]]:
    yield sparse.values.name, sparse.values
    yield f"{sparse.values.name} (indices)", sparse.indices


def _check_tensor(name: str, tensor: TensorProto) -> None:
    kind, bits, field = _storage(name, tensor)
    shape, expected = list(tensor.dims), _size(name, tensor)
    if tensor.HasField("raw_data") and bits:
        found = len(tensor.raw_data)
    else:
        found, expected = len(getattr(tensor, field)), _field_length(kind, math.prod(shape))
    if found != expected:
        raise InvalidFile(
            f"the tensor {name!r} states the shape {sanitize(shape, 60)} and holds "
            f"{found:,} bytes or values, not {expected:,}"
        )
    if _has_nan(tensor, kind):
        raise InvalidFile(f"the tensor {name!r} holds NaN")


def _storage(name: str, tensor: TensorProto) -> tuple[str, int, str]:
    """Return the type of a tensor, the bits of a value, and the field of values."""
    from onnx import TensorProto

    kinds = {number: kind for kind, number in TensorProto.DataType.items()}
    kind = kinds.get(tensor.data_type, "")
    if kind not in STORAGE:
        raise InvalidFile(f"the tensor {name!r} has the unknown type {tensor.data_type}")
    return kind, *STORAGE[kind]


def _size(name: str, tensor: TensorProto) -> int:
    """Return the bytes of a tensor of its type and shape."""
    kind, bits, _ = _storage(name, tensor)
    if any(size < 0 for size in tensor.dims):
        shape = sanitize(list(tensor.dims), 60)
        raise InvalidFile(f"the tensor {name!r} has the shape {shape}")
    if is_external(tensor) and not bits:
        raise InvalidFile(f"the tensor {name!r} of {kind.lower()}s is stored in another file")
    return size_of(tensor.dims, bits)


def _field_length(kind: str, count: int) -> int:
    """Return the length of the typed field of a tensor with `count` values."""
    if kind.startswith("COMPLEX"):
        return 2 * count
    packed = {"UINT4": 2, "INT4": 2, "FLOAT4E2M1": 2, "UINT2": 4, "INT2": 4}.get(kind, 1)
    return -(-count // packed)


def _has_nan(tensor: TensorProto, kind: str) -> bool:
    """Return whether a value is NaN; infinities are valid, as masks."""
    if kind not in ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16"):
        return False
    if tensor.HasField("raw_data"):
        dtype = {"FLOAT": "<f4", "DOUBLE": "<f8"}.get(kind, "<u2")
        values = np.frombuffer(tensor.raw_data, dtype)
    elif kind in ("FLOAT", "DOUBLE"):
        stored = tensor.double_data if kind == "DOUBLE" else tensor.float_data
        values = np.fromiter(stored, np.float64, len(stored))
    else:
        words = np.fromiter(tensor.int32_data, np.int64, len(tensor.int32_data))
        values = words.astype(np.uint16)
    if kind == "FLOAT16":
        values = values.view(np.float16)
    elif kind == "BFLOAT16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return not all_finite(values) and bool(np.isnan(values).any())
