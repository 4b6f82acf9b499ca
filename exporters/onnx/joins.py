"""Layers of several inputs in ONNX: sums, products, cells and attention."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..graph.ir import Add, Attention, Cells, Concat, Product, Shape
from .builder import Builder


def joined(b: Builder, node: Add | Product, inputs: list[str]) -> str:
    """Add a sum or a product; a time-invariant input `[1, N, ...]` broadcasts over the steps."""
    if isinstance(node, Add):
        return b.op("Sum", inputs, node.name)
    first, second = inputs
    if node.inverted:
        first = b.op("Sub", [b.constant("one", np.float32(1)), first], f"{node.name}/inverted")
    return b.op("Mul", [first, second], node.name)


def concatenated(
    b: Builder, node: Concat, inputs: list[str], rank: int, steps: int, repeated: Sequence[bool]
) -> str:
    """Add all inputs one after another along the first axis of a sample, `[T, N, ...]`.

    Args:
        b: the builder.
        node: the layer.
        inputs: its inputs, `[T, N, ...]`, or `[1, N, ...]` if `repeated`.
        rank: axes of a sample.
        steps: T.
        repeated: of each input, whether it is the same at every step.
    """
    parts = []
    for i, (x, same) in enumerate(zip(inputs, repeated, strict=True)):
        if same and steps > 1:
            times = b.integers(steps, *[1] * (rank + 1))
            x = b.op("Tile", [x, times], f"{node.name}/repeated{i}")
        parts.append(x)
    return b.op("Concat", parts, node.name, axis=2)


def cells(
    b: Builder, node: Cells, inputs: list[str], images: Sequence[Shape], before: Sequence[int]
) -> str:
    """Add images side by side as cells, `[..., N, K, A]`.

    Args:
        b: the builder.
        node: the layer.
        inputs: the images.
        images: `[K, H, W]` of each.
        before: axes before those of the batch.
    """
    rows = [(*before, -1, channels, height * width) for channels, height, width in images]
    if len(inputs) == 1:
        return b.reshape(inputs[0], rows[0], node.name)
    parts = [
        b.reshape(x, shape, f"{node.name}/grid{i}")
        for i, (x, shape) in enumerate(zip(inputs, rows, strict=True), start=1)
    ]
    return b.op("Concat", parts, node.name, axis=-1)


def attention(
    b: Builder, node: Attention, x: str, before: tuple[int, ...], after: tuple[int, ...]
) -> str:
    """Add scale Q (Kᵀ V), with the parts of each head as `[channels, pixels]`: (V Kᵀ) Q.

    Args:
        b: the builder.
        node: the layer.
        x: its input, images with any leading axes.
        before: shape of a sample of the input.
        after: shape of the output, with its leading axes.
    """
    name = node.name
    channels, height, width = before
    heads = (-1, 3, node.heads, channels // (3 * node.heads), height * width)
    parts = [f"{name}/{part}" for part in ("queries", "keys", "values")]
    by_head = b.reshape(x, heads, f"{name}/heads")
    q, k, v = b.ops("Split", [by_head, b.integers(1, 1, 1)], parts, axis=1)
    k = b.op("Transpose", [k], f"{name}/keys_transposed", perm=[0, 1, 2, 4, 3])
    out = b.op("MatMul", [b.op("MatMul", [v, k], f"{name}/values_of_keys"), q], f"{name}/product")
    scale = b.constant(f"{name}.scale", np.float32(node.scale))
    return b.reshape(b.op("Mul", [out, scale], f"{name}/scaled"), after, name)
