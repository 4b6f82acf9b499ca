"""The contents of an ONNX model."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..formats.onnx import graphs, read_onnx

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

STANDARD = ("", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training")


def inspect_onnx(path: Path) -> dict[str, Any]:
    """Return versions, inputs, outputs, operators and parameters of an ONNX model.

    Raises:
        DataError: as `read_onnx`.
    """
    model = read_onnx(path)
    initializers = [tensor for graph in graphs(model) for tensor in graph.initializer]
    defaults = {tensor.name for tensor in model.graph.initializer}
    operators = Counter(
        f"{node.domain}::{node.op_type}" if node.domain not in STANDARD[:2] else node.op_type
        for graph in graphs(model)
        for node in graph.node
    )
    return {
        "ir_version": model.ir_version,
        "opset": {opset.domain or "ai.onnx": opset.version for opset in model.opset_import},
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "inputs": [_value(value) for value in model.graph.input if value.name not in defaults],
        "outputs": [_value(value) for value in model.graph.output],
        "nodes": sum(operators.values()),
        "operators": dict(operators.most_common()),
        "parameters": sum(math.prod(tensor.dims) for tensor in initializers),
        "tensors": len(initializers),
        "metadata": {pair.key: pair.value for pair in model.metadata_props},
        "doc": model.doc_string,
        "warnings": _warnings(model),
    }


def _value(value: ValueInfoProto) -> dict[str, Any]:
    from onnx import TensorProto

    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return {
            "name": value.name,
            "type": (kind or "unknown").removesuffix("_type"),
            "shape": None,
        }
    tensor = value.type.tensor_type
    shape = [
        dim.dim_param or "?" if dim.WhichOneof("value") != "dim_value" else dim.dim_value
        for dim in tensor.shape.dim
    ]
    known = tensor.elem_type in TensorProto.DataType.values()
    return {
        "name": value.name,
        "type": TensorProto.DataType.Name(tensor.elem_type).lower() if known else "unknown",
        "shape": shape if tensor.HasField("shape") else None,
    }


def _warnings(model: ModelProto) -> list[str]:
    found = []
    used = {node.domain for graph in graphs(model) for node in graph.node}
    own = sorted({function.domain for function in model.functions})
    unknown = sorted(used - set(STANDARD) - set(own))
    if unknown:
        found.append(
            f"it needs operators of {', '.join(map(repr, unknown))}: onnxruntime runs it only with "
            "the library that has them"
        )
    if model.functions:
        found.append(f"it defines {len(model.functions)} functions")
    if model.training_info:
        found.append("it holds a training step in addition to the network")
    fixed = [
        value.name
        for value in model.graph.input
        if value.type.tensor_type.shape.dim
        and all(  # the batch may be behind the axis of the steps
            axis.WhichOneof("value") == "dim_value" for axis in value.type.tensor_type.shape.dim
        )
    ]
    names = {tensor.name for tensor in model.graph.initializer}
    for name in fixed:
        if name not in names:
            found.append(f"all axes of the input {name!r} are fixed: one batch size only")
    return found
