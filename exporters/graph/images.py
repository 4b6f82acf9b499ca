"""Convolutions and pools of images in numpy, in float32."""

from __future__ import annotations

import numpy as np

from .nodes import Array, Pair
from .spatial import ConvTranspose, Pad, Pool, output_size

CHUNK = 64  # images; windows of a convolution take kh·kw times the memory of its input


def convolve(
    x: Array, weight: Array, bias: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """Return the convolution of images `[N, C, H, W]`, as matrix products over their windows."""
    images, channels = x.shape[:2]
    outputs, _, height, width = weight.shape
    size = [
        output_size(*values)
        for values in zip(x.shape[2:], (height, width), stride, padding, dilation, strict=True)
    ]
    out = np.empty((images, outputs, *size), np.float32)
    ins, outs = channels // groups, outputs // groups
    for begin in range(0, images, CHUNK):
        part = slice(begin, begin + CHUNK)
        views = windows(x[part], (height, width), stride, padding, dilation)
        for group in range(groups):
            rows = views[:, group * ins : (group + 1) * ins]
            rows = np.moveaxis(rows, 1, 3).reshape(-1, ins * height * width)
            of_group = slice(group * outs, (group + 1) * outs)
            y = rows @ weight[of_group].reshape(outs, -1).T + bias[of_group]
            out[part, of_group] = np.moveaxis(y.reshape(-1, *size, outs), 3, 1)
    return out


def convolve_transposed(node: ConvTranspose, group: int, x: Array) -> Array:
    """Return the transposed convolution of images `[N, C, H, W]`, with one set of weights.

    It is the convolution, by the turned kernel, of an image with stride - 1 zeros between pixels.
    """
    weight, bias = node.weights[group], node.biases[group]
    spread = [(size - 1) * by + 1 for size, by in zip(x.shape[2:], node.stride, strict=True)]
    image = np.zeros((*x.shape[:2], *spread), np.float32)
    image[:, :, :: node.stride[0], :: node.stride[1]] = x
    around = [(0, 0), (0, 0)]
    for axis, kernel in enumerate(weight.shape[2:]):
        before = node.dilation[axis] * (kernel - 1) - node.padding[axis]
        around.append((before, before + node.output_padding[axis]))
    image = np.pad(image, [(max(a, 0), max(b, 0)) for a, b in around])
    cut = [slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(around, image.shape, strict=True)]
    turned = weight[:, :, ::-1, ::-1]
    return convolve(image[tuple(cut)], turned, bias, (1, 1), (0, 0), node.dilation, node.groups)


def windows(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1), fill: float = 0.0
) -> Array:
    """Return the windows of images `[N, C, H, W]` as a view `[N, C, oh, ow, kh, kw]`."""
    around = ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2)
    if any(padding):
        x = np.pad(x, around, constant_values=fill)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(x, spans, axis=(2, 3))  # type: ignore[call-overload]
    return views[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def pad(node: Pad, x: Array) -> Array:
    """Return images `[..., H, W]` with zeros around them."""
    around = [(0, 0)] * (x.ndim - 2) + list(zip(node.before, node.behind, strict=True))
    return np.pad(x, around)


def pooled(node: Pool, x: Array) -> Array:
    """Return the pool of images `[T, B, C, H, W]`."""
    image = x.shape[2:]
    if node.kind == "max":
        options = {"dilation": node.dilation, "beyond": node.beyond(image)}
        return pool(x, "max", node.kernel, node.stride, node.padding, **options)
    divisors = node.divisors(image)
    kind = "average" if divisors is None else "sum"
    y = pool(x, kind, node.kernel, node.stride, node.padding, beyond=node.beyond(image))
    return y if divisors is None else y / divisors


def pool(
    x: Array,
    kind: str,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    *,
    dilation: Pair = (1, 1),
    beyond: Pair = (0, 0),
) -> Array:
    """Return the maximum, mean or sum of each window of `[T, B, C, H, W]`.

    Args:
        beyond: rows and columns that the last windows may reach beyond the padding.
    """
    flat = x.reshape(-1, *x.shape[2:])
    fill = -np.inf if kind == "max" else 0.0
    if any(beyond):
        around = ((0, 0), (0, 0), (0, beyond[0]), (0, beyond[1]))
        both = ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2)
        flat = np.pad(np.pad(flat, both, constant_values=fill), around, constant_values=fill)
        padding = (0, 0)
    views = windows(flat, kernel, stride, padding, dilation, fill=fill)
    if kind == "max":
        out = views.max((4, 5))
    elif kind == "average":
        out = views.mean((4, 5), dtype=np.float32)
    else:
        out = views.sum((4, 5), dtype=np.float32)
    return out.reshape(*x.shape[:2], *out.shape[1:])
