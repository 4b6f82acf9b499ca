"""Builds an ONNX graph node by node, with readable names for all values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..graph.ir import Array, swapped
from ..graph.quantisation import Weights, half, quantise

BATCH = "N"  # the axis of the samples
OPSETS = range(17, 26)
# The IR version that was released with each opset: all runtimes of that opset read it.
IR_VERSIONS = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12, 25: 13}


class Builder:
    """Collects the nodes and initializers of a graph.

    Args:
        weights: how weights are stored; they are cast to float32 before use.
    """

    def __init__(self, weights: Weights = "fp32") -> None:
        self.weights: Weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.shapes: list[onnx.ValueInfoProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._names: set[str] = set()

    def state_shape(self, name: str, shape: Sequence[int]) -> None:
        """State the shape `[T, N, ...]` of a value, whose batch N shape inference cannot name.

        onnxruntime reuses the memory of values whose shapes it can compare. Without names it finds
        none, and compares each value with all former ones: for thousands of nodes that takes
        minutes.

        Args:
            name: of the value.
            shape: without the batch.
        """
        steps, *sample = shape
        self.shapes.append(value(name, [steps, BATCH, *sample]))

    def op(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add a node with one output called `name`, and return that name."""
        return self.ops(kind, inputs, [name], **attributes)[0]

    def ops(
        self, kind: str, inputs: Sequence[str], names: Sequence[str], **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs."""
        assert not self._names.intersection(names), names
        self._names.update(names)
        node = helper.make_node(kind, list(inputs), list(names), name=names[0], **attributes)
        self.nodes.append(node)
        return list(names)

    def constant(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        """Return the name of a constant; equal constants are stored once, under the first name."""
        array = np.ascontiguousarray(values, dtype=dtype).reshape(np.shape(values))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            assert name not in self._names, name
            self._names.add(name)
            self._constants[key] = name
            self.initializers.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def integers(self, *values: int) -> str:
        """Return the name of a constant `[len(values)]` of int64."""
        return self.constant("_".join(["i", *map(str, values)]).replace("-", "m"), values, np.int64)

    def weight(self, name: str, values: Array, *, swaps: int = 0) -> str:
        """Return the name of weights `[out, ...]`, float32 however they are stored.

        Args:
            name: of them.
            values: the weights.
            swaps: with how many groups they are stored as `[in, out / groups, ...]`; 0 for as they
                are.
        """
        known = (f"{self.weights} {swaps}", values.shape, values.tobytes())
        if known not in self._constants:
            self._constants[known] = self._weight(name, values, swaps)
        return self._constants[known]

    def _weight(self, name: str, values: Array, swaps: int) -> str:
        if swaps and self.weights == "int8":  # each output has a scale
            parts = np.split(values, swaps)
            names = [f"{name}.group{i}" for i in range(swaps)] if swaps > 1 else [name]
            stored = [self._int8(*part, axis=1) for part in zip(names, parts, strict=True)]
            return self.op("Concat", stored, name, axis=0) if swaps > 1 else stored[0]
        if self.weights == "int8":
            return self._int8(name, values, axis=0)
        if swaps:
            values = swapped(values, swaps)
        if self.weights == "fp16":
            stored = self.constant(f"{name}.fp16", half(values), np.float16)
            return self.op("Cast", [stored], name, to=TensorProto.FLOAT)
        return self.constant(name, values)

    def _int8(self, name: str, values: Array, axis: int) -> str:
        """Add weights `[out, ...]` in int8, stored with the outputs along an axis."""
        packed = quantise(values)
        stored = self.constant(f"{name}.int8", np.moveaxis(packed.values, 0, axis), np.int8)
        scale = self.constant(f"{name}.scale", packed.scale)
        return self.op("DequantizeLinear", [stored, scale], name, axis=axis)

    def reshape(self, x: str, shape: Sequence[int], name: str) -> str:
        """Add a Reshape; one size may be -1."""
        return self.op("Reshape", [x, self.integers(*shape)], name)


def by_channel(values: Array, rank: int) -> Array:
    """Reshape `[1]` or `[C]` to broadcast against samples with `rank` axes."""
    return values.reshape(-1, *[1] * (rank - 1)) if values.size > 1 else values.reshape(())


def value(name: str, shape: Sequence[int | str], dtype: int = TensorProto.FLOAT) -> Any:
    """Return the ValueInfo of an input or output."""
    return helper.make_tensor_value_info(name, dtype, list(shape))


def model_of(graph: onnx.GraphProto, opset: int, about: dict[str, str]) -> onnx.ModelProto:
    """Return a model of a graph, with metadata."""
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=IR_VERSIONS[opset],
        producer_name="asnn",
        producer_version=about["asnn"],
        doc_string=graph.doc_string,
    )
    helper.set_model_props(model, about)
    return model
