"""Layers without states in ONNX: affine layers, pools, padding and norms.

`lead` are the axes before those of a sample: `(T, -1)` of all steps, `(-1,)` of one step.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np

from ..graph.ir import (
    Affine,
    Conv,
    ConvTranspose,
    Gather,
    GroupNorm,
    LayerNorm,
    Linear,
    Pad,
    Pool,
    Shape,
    Softmax,
)
from .builder import Builder


def affine_over_time(
    b: Builder, node: Affine, x: str, before: Shape, shape: Shape, steps: int
) -> str:
    """Apply each set of weights to its steps in one operation."""
    runs = [(group, len(list(run))) for group, run in groupby(node.of_step[:steps])]
    name = node.name
    parts = [x]
    if len(runs) > 1:
        names = [f"{name}/part{i}" for i in range(len(runs))]
        parts = b.ops("Split", [x, b.integers(*[n for _, n in runs])], names, axis=0)
    results = []
    for i, ((group, number), part) in enumerate(zip(runs, parts, strict=True)):
        at = f"{name}/{i}" if len(runs) > 1 else name
        flat = b.reshape(part, (-1, *before), f"{at}/rows")
        suffix = str(group) if len(node.weights) > 1 else ""
        weight = _weight(b, node, group, f"{name}.weight{suffix}")
        bias = b.constant(f"{name}.bias{suffix}", node.biases[group])
        y = _affine(b, node, flat, weight, bias, f"{at}/y")
        last = len(runs) == 1
        results.append(b.reshape(y, (number, -1, *shape), name if last else f"{at}/steps"))
    return results[0] if len(runs) == 1 else b.op("Concat", results, name, axis=0)


def affine_at_step(b: Builder, node: Affine, x: str, step: str) -> str:
    """Add an affine layer for one step, with its weights of that step."""
    name = node.name
    used = sorted(set(node.of_step))
    if len(used) == 1:
        weight = _weight(b, node, used[0], f"{name}.weight")
        bias = b.constant(f"{name}.bias", node.biases[used[0]])
        return _affine(b, node, x, weight, bias, name)
    group = b.constant(f"{name}.of_step", node.of_step, np.int64)
    group = b.op("Gather", [group, step], f"{name}/group", axis=0)
    # All sets of weights are stacked into one initializer, each with its own scales.
    sets = len(node.weights)
    if isinstance(node, ConvTranspose):
        each = [_weight(b, node, i, f"{name}.weight{i}") for i in range(sets)]
        weight = b.op("Concat", each, f"{name}.weights", axis=0)
    else:
        weight = b.weight(f"{name}.weights", np.concatenate(node.weights))
    rows, *kernel = node.weights[0].shape
    if isinstance(node, ConvTranspose):
        rows, kernel = kernel[0] * node.groups, [rows // node.groups, *kernel[1:]]
    weight = b.reshape(weight, (sets, rows, *kernel), f"{name}/sets")
    weight = b.op("Gather", [weight, group], f"{name}/weight", axis=0)
    bias = b.constant(f"{name}.biases", np.stack(node.biases))
    bias = b.op("Gather", [bias, group], f"{name}/bias", axis=0)
    return _affine(b, node, x, weight, bias, name)


def pool(b: Builder, node: Pool, x: str, before: Shape, shape: Shape, lead: tuple[int, ...]) -> str:
    """Add a pool of images."""
    name = node.name
    by_step = len(lead) > 1
    pooled = f"{name}/pooled" if by_step else name
    if by_step:
        x = b.reshape(x, (-1, *before), f"{name}/images")
    ends = [sum(parts) for parts in zip(node.padding, node.beyond(before), strict=True)]
    pads = [*node.padding, *ends]
    if any(end >= size for end, size in zip(ends, node.kernel, strict=True)):
        # Only dilated windows are so padded, and onnxruntime accepts less than a kernel.
        lowest = b.constant(f"{name}.lowest", np.float32(-np.inf))
        around = b.integers(0, 0, *node.padding, 0, 0, *ends)
        sides = [sum(parts) for parts in zip(before[1:], node.padding, ends, strict=True)]
        x = _padded(b, [x, around, lowest], f"{name}/lowest", (-1, before[0], *sides))
        pads = [0] * 4
    window = {"kernel_shape": node.kernel, "strides": node.stride, "pads": pads}
    if node.kind == "max":
        spread = {} if node.dilation == (1, 1) else {"dilations": node.dilation}
        y = b.op("MaxPool", [x], pooled, **window, **spread)
    else:
        divisors = node.divisors(before)
        mean = pooled if divisors is None else f"{name}/mean"
        y = b.op("AveragePool", [x], mean, count_include_pad=1, **window)
        if divisors is not None:
            factor = np.float32(np.prod(node.kernel)) / divisors
            y = b.op("Mul", [y, b.constant(f"{name}.factor", factor)], pooled)
    return b.reshape(y, (*lead, *shape), name) if by_step else y


def pad(b: Builder, node: Pad, x: str, shape: Shape, lead: tuple[int, ...]) -> str:
    """Add zeros around images."""
    others = [0] * (len(lead) + 1)  # channels too
    around = b.integers(*others, *node.before, *others, *node.behind)
    return _padded(b, [x, around], node.name, (*lead, *shape))


def _padded(b: Builder, inputs: list[str], name: str, shape: tuple[int, ...]) -> str:
    """Add a Pad, and a Reshape to the shape that its value has.

    onnxruntime (1.31) fuses a Pad into the convolution or pool behind it, and then does not load a
    model of one step whose Pad reads a state.
    """
    return b.reshape(b.op("Pad", inputs, f"{name}/padded"), shape, name)


def layer_norm(b: Builder, node: LayerNorm, x: str, shape: Shape) -> str:
    """Add a norm over the last axes."""
    name, axes = node.name, shape[len(shape) - node.over :]
    weight = np.ones(axes, np.float32) if node.weight is None else node.weight
    inputs = [x, b.constant(f"{name}.weight", weight)]
    if node.bias is not None:
        inputs.append(b.constant(f"{name}.bias", node.bias))
    return b.op("LayerNormalization", inputs, name, axis=-node.over, epsilon=node.eps)


def group_norm(b: Builder, node: GroupNorm, x: str, shape: Shape, lead: tuple[int, ...]) -> str:
    """Add a norm over groups of channels: each becomes a channel of an instance norm."""
    name, groups = node.name, node.groups
    one = b.constant(f"{name}.ones", np.ones(groups))
    none = b.constant(f"{name}.zeros", np.zeros(groups))
    rows = b.reshape(x, (-1, groups, int(np.prod(shape)) // groups), f"{name}/groups")
    inputs = [rows, one, none]
    y = b.op("InstanceNormalization", inputs, f"{name}/by_group", epsilon=node.eps)
    axes = (-1, *[1] * (len(shape) - 1))
    parts = [
        (key, operator, values.reshape(axes))
        for key, operator, values in (("weight", "Mul", node.weight), ("bias", "Add", node.bias))
        if values is not None
    ]
    y = b.reshape(y, (*lead, *shape), f"{name}/normed" if parts else name)
    for key, operator, values in parts:
        by_channel = b.constant(f"{name}.{key}", values)
        y = b.op(operator, [y, by_channel], name if key == parts[-1][0] else f"{name}/scaled")
    return y


def _weight(b: Builder, node: Affine, group: int, name: str) -> str:
    swaps = node.groups if isinstance(node, ConvTranspose) else 0
    return b.weight(name, node.weights[group], swaps=swaps)


def _affine(b: Builder, node: Affine, x: str, weight: str, bias: str, name: str) -> str:
    if isinstance(node, Linear):
        return b.op("Gemm", [x, weight, bias], name, transB=1)
    assert isinstance(node, Conv | ConvTranspose), f"no ONNX for {type(node).__name__}"
    window = {
        "strides": node.stride,
        "dilations": node.dilation,
        "group": node.groups,
        "kernel_shape": node.weights[0].shape[2:],
    }
    if isinstance(node, ConvTranspose):
        return _conv_transpose(b, node, [x, weight, bias], name, window)
    pads = [*node.padding, *node.padding]
    return b.op("Conv", [x, weight, bias], name, pads=pads, **window)


def _conv_transpose(
    b: Builder, node: ConvTranspose, inputs: list[str], name: str, window: dict[str, Any]
) -> str:
    """Add a transposed convolution.

    onnxruntime accepts an output padding below the stride alone; torch adds larger ones under a
    dilation. Those are padding that is not cut off, and further zeros of the image.
    """
    ends, more, zeros = list(node.padding), list(node.output_padding), [0, 0]
    for axis, stride in enumerate(node.stride):
        if more[axis] >= stride:
            zeros[axis] = max(0, -((ends[axis] - more[axis]) // stride))
            ends[axis] += zeros[axis] * stride - more[axis]
            more[axis] = 0
    if any(zeros):
        around = b.integers(0, 0, 0, 0, 0, 0, *zeros)
        inputs = [b.op("Pad", [inputs[0], around], f"{name}/padded"), *inputs[1:]]
    pads = [*node.padding, *ends]
    return b.op("ConvTranspose", inputs, name, pads=pads, output_padding=more, **window)


def gather(b: Builder, node: Gather, x: str, rank: int) -> str:
    """Take the values at some places of an axis, of samples of `rank` axes."""
    indices = b.constant(f"{node.name}.indices", node.indices, np.int64)
    return b.op("Gather", [x, indices], node.name, axis=node.axis - rank)


def softmax(b: Builder, node: Softmax, x: str, rank: int) -> str:
    """Add a softmax, or its logarithm, over an axis of samples of `rank` axes."""
    return b.op("LogSoftmax" if node.log else "Softmax", [x], node.name, axis=node.axis - rank)
