"""The operators that files of asnn have: a file with others is not run."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from ...core.errors import DataError
from ...formats.onnx import graphs

# Scan is the only one that loops, over the steps of its input.
OPERATORS = {
    "Abs", "Add", "And", "ArgMax", "AveragePool", "Cast", "Ceil", "Clip", "Concat",
    "ConstantOfShape", "Conv", "ConvTranspose", "CumSum", "DequantizeLinear", "Div", "Equal", "Erf",
    "Exp", "Expand", "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Gemm", "Greater",
    "GreaterOrEqual", "Identity", "InstanceNormalization", "LayerNormalization", "Less",
    "LessOrEqual", "Log", "LogSoftmax", "MatMul", "Max", "MaxPool", "Min", "Mod", "Mul", "Neg",
    "NonMaxSuppression", "Not", "Pad", "ReduceMin", "ReduceSum", "Relu", "Reshape", "Round", "Scan",
    "ScatterND", "Shape", "Sigmoid", "Slice", "Softmax", "Split", "Sqrt", "Squeeze", "Sub", "Sum",
    "Tanh", "Tile", "TopK", "Transpose", "Unsqueeze", "Where",
}  # fmt: skip


def check_operators(models: Iterable[onnx.ModelProto]) -> None:
    """Refuse models with an operator that asnn does not write, such as Loop.

    Raises:
        DataError: names the operators.
    """
    found = set()
    for model in models:
        if len(model.functions):
            found.add("functions of its own")
        for graph in graphs(model):
            for node in graph.node:
                known = node.op_type in OPERATORS and node.domain in ("", "ai.onnx")
                found |= set() if known else {f"{node.domain}.{node.op_type}".lstrip(".")}
    if found:
        raise DataError(
            f"the file has {', '.join(sorted(found)[:5])}",
            why="asnn writes no such operators, and does not run those of unknown origin",
            remedy="check a file that asnn wrote",
        )
