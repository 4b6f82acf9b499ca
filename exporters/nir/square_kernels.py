"""Convolutions as nir infers their shape: it takes the first side of a kernel for both sides.

    out = ⌊(in + 2 padding - dilation (kernel - 1) - 1) / stride⌋ + 1

A kernel of other sides is padded with zeros to a square, and the image with as many: `a` zeros
before it and `b` behind it, a = b or a = b + 1. An odd number of zeros makes a window too many,
unless the rounding takes it up, or there is one window anyway, whose stride may be any number.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...core.errors import ConfigError
from ..graph.ir import Conv, Shape, output_size


def with_square_kernel(layer: Conv, before: Shape) -> Conv:
    """Return a convolution whose output shape nir 1.0.8 infers rightly, with the same values.

    Args:
        layer: the convolution.
        before: the shape of its input, `[C, H, W]`.

    Raises:
        ConfigError: there is none.
    """
    after = layer.shape([before])
    kernel = layer.weights[0].shape[2:]
    if _inferred(layer, before, kernel[0]) == after[1:]:
        return layer
    side = max(kernel)
    zeros = [side - size for size in kernel]
    front = [-(-number // 2) for number in zeros]
    around = [(0, 0), (0, 0), *((a, n - a) for a, n in zip(front, zeros, strict=True))]
    padding = [p + a * d for p, a, d in zip(layer.padding, front, layer.dilation, strict=True)]
    stride = [
        size + 2 * p if out == 1 else own
        for own, out, size, p in zip(layer.stride, after[1:], before[1:], padding, strict=True)
    ]
    made = replace(
        layer,
        weights=tuple(np.pad(weight, around) for weight in layer.weights),
        padding=(padding[0], padding[1]),
        stride=(stride[0], stride[1]),
    )
    if _inferred(made, before, side) != after[1:]:
        raise ConfigError(
            f"layer {layer.name!r} has a kernel of {kernel[0]} x {kernel[1]}, which nir 1.0.8 "
            "cannot check",
            why="it infers the shape of the output from the first side of a kernel; zeros around "
            "it make a square only if its sides differ by an even number",
            remedy=f"use a kernel whose sides differ by an even number, such as "
            f"{kernel[0]} x {kernel[1] + 1}, or --format onnx",
        )
    return made


def _inferred(layer: Conv, before: Shape, side: int) -> Shape:
    """Return the height and width of the output with a kernel of that side."""
    axes = zip(before[1:], layer.stride, layer.padding, layer.dilation, strict=True)
    return tuple(output_size(size, side, *of_axis) for size, *of_axis in axes)
