"""ONNX models that somebody else made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .finite import is_finite
from .opening import clean, damaged, read_bytes
from .protobuf import Malformed, check_message

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

# Bits of one value, and the field that holds values where they are not raw.
STORED = {
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


class Fault(ValueError):
    """A tensor or a node that no model has."""


def read_onnx(path: Path | str) -> ModelProto:
    """Return the model in an ONNX file, whoever wrote it; nothing in it is run.

    Raises:
        DataError: the file is missing, damaged or hostile: it keeps tensors in other files, states
            shapes that its data do not have, holds NaN, has cycles or inputs from nowhere, or is of
            a version that the installed onnx does not know.
    """
    from google.protobuf.message import DecodeError
    from onnx import ModelProto
    from onnx.checker import ValidationError

    data = read_bytes(path)
    try:
        check_message(data, ModelProto.DESCRIPTOR)
        model = ModelProto.FromString(data)
        _check(model)
        _validate(data)
    except (Fault, Malformed) as error:
        raise damaged(path, error, what="ONNX model") from error
    except ValidationError as error:
        raise damaged(path, str(error).split("\n\n")[0], what="ONNX model") from error
    except DecodeError as error:
        raise damaged(path, "its bytes are not a protobuf message", what="ONNX model") from error
    except (ValueError, TypeError, RuntimeError, MemoryError) as error:
        raise damaged(path, error or type(error).__name__, what="ONNX model") from error
    return model


def _validate(data: bytes) -> None:
    """Let onnx check operators, types, order and names, without inferring shapes."""
    from onnx.checker import check_model

    check_model(data)


def _check(model: ModelProto) -> None:
    from onnx import IR_VERSION

    if not model.HasField("graph"):
        raise Fault("it holds no graph")
    if not 1 <= model.ir_version <= IR_VERSION:
        raise Fault(
            f"it is of version {model.ir_version}; this onnx reads versions 1 to {IR_VERSION}"
        )
    for name, tensor in tensors(model):
        _check_tensor(clean(name, 60), tensor)


def graphs(model: ModelProto) -> Iterator[GraphProto]:
    """Yield the graph of a model, and every graph in an attribute of its nodes."""
    waiting = [model.graph]
    waiting += [
        part for info in model.training_info for part in (info.initialization, info.algorithm)
    ]
    inner = [node for function in model.functions for node in function.node]
    waiting += [graph for node in inner for graph in _inner(node)]
    while waiting:
        graph = waiting.pop()
        yield graph
        waiting += [found for node in graph.node for found in _inner(node)]


def _inner(node: NodeProto) -> list[GraphProto]:
    found = []
    for attribute in node.attribute:
        found += [attribute.g] if attribute.HasField("g") else []
        found += attribute.graphs
    return found


def tensors(model: ModelProto) -> Iterator[tuple[str, TensorProto]]:
    """Yield every tensor that a model stores, with a name for it."""
    for graph in graphs(model):
        for tensor in graph.initializer:
            yield tensor.name, tensor
        for sparse in graph.sparse_initializer:
            yield from _sparse(sparse)
        for node in graph.node:
            yield from _of_node(node)
    for function in model.functions:
        for node in function.node:
            yield from _of_node(node)
        for attribute in function.attribute_proto:
            yield from _of_attribute(function.name, attribute)


def _of_node(node: NodeProto) -> Iterator[tuple[str, TensorProto]]:
    for attribute in node.attribute:
        yield from _of_attribute(node.name or node.op_type, attribute)


def _of_attribute(name: str, attribute: Any) -> Iterator[tuple[str, TensorProto]]:
    name = f"{name}.{attribute.name}"
    if attribute.HasField("t"):
        yield name, attribute.t
    for tensor in attribute.tensors:
        yield name, tensor
    for sparse in [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []:
        yield from _sparse(sparse)
    for sparse in attribute.sparse_tensors:
        yield from _sparse(sparse)


def _sparse(sparse: Any) -> Iterator[tuple[str, TensorProto]]:
    yield sparse.values.name, sparse.values
    yield f"{sparse.values.name} (indices)", sparse.indices


def _check_tensor(name: str, tensor: TensorProto) -> None:
    from onnx import TensorProto

    if tensor.data_location == TensorProto.EXTERNAL or len(tensor.external_data):
        places = [pair.value for pair in tensor.external_data if pair.key == "location"]
        where = clean(places[0], 80) if places else "another file"
        raise Fault(f"the tensor {name!r} lies in {where!r}, outside the file")
    kinds = {number: kind for kind, number in TensorProto.DataType.items()}
    kind = kinds.get(tensor.data_type, "")
    if kind not in STORED:
        raise Fault(f"the tensor {name!r} has the unknown type {tensor.data_type}")
    shape, count = list(tensor.dims), 1
    for size in shape:
        count *= size
    if any(size < 0 for size in shape):
        raise Fault(f"the tensor {name!r} has the shape {clean(shape, 60)}")
    bits, field = STORED[kind]
    expected = -(-count * bits // 8)
    if tensor.HasField("raw_data") and bits:
        there = len(tensor.raw_data)
    else:
        there, expected = len(getattr(tensor, field)), _values(kind, count)
    if there != expected:
        raise Fault(
            f"the tensor {name!r} states the shape {clean(shape, 60)} and holds "
            f"{there:,} bytes or values, not {expected:,}"
        )
    if not _finite(tensor, kind):
        raise Fault(f"the tensor {name!r} holds NaN")


def _values(kind: str, count: int) -> int:
    """Return how many values the typed field of a tensor has."""
    if kind.startswith("COMPLEX"):
        return 2 * count
    packed = {"UINT4": 2, "INT4": 2, "FLOAT4E2M1": 2, "UINT2": 4, "INT2": 4}.get(kind, 1)
    return -(-count // packed)


def _finite(tensor: TensorProto, kind: str) -> bool:
    """Return whether no value is NaN; infinities are legitimate, as masks."""
    if kind not in ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16"):
        return True
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
    return is_finite(values) or not bool(np.isnan(values).any())
