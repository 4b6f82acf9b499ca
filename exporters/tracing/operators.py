"""Operators of aten that are layers of the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..graph import ir as g
from .elementwise import ELEMENTWISE, elementwise, is_value, node_of, of_several
from .layers.axes import ARRANGING
from .layers.functions import FUNCTIONS
from .layers.matrices import along, matmul
from .layers.reductions import extremum, reduced, softmax
from .layers.windows import (
    adaptive_avg_pool,
    adaptive_max_pool,
    avg_pool,
    flip,
    index_select,
    max_pool,
    max_pool_with_indices,
    pad,
    pair,
    rearranged,
    resampled,
    roll,
)
from .samples import by_channel, image, of_image, operands_of, padded, samples
from .values import Const, Signal

if TYPE_CHECKING:
    from .lowering import Lowering

LOGITS = "return the values themselves: a caller can compute it of the answer"


def linear(low: Lowering, x: Any, weight: Any, bias: Any = None) -> Any:
    """y = W x + b over the last axis."""
    weight, bias = low.array(weight), low.array(bias)
    bias = np.zeros(len(weight), np.float32) if bias is None else bias
    return along(low, x, -1, weight, bias)


def addmm(low: Lowering, bias: Any, x: Any, weight: Any) -> Any:
    return linear(low, x, low.constant(weight, lambda w: w.t()), bias)


def conv2d(
    low: Lowering, x: Any, weight: Any, bias: Any = None, stride: Any = (1,), padding: Any = (0,),
    dilation: Any = (1,), groups: int = 1,
) -> Any:  # fmt: skip
    """A convolution of images, or of series as images of height 1."""
    weight, bias = low.array(weight), low.array(bias)
    bias = np.zeros(len(weight), np.float32) if bias is None else bias
    axes = weight.ndim - 2
    if axes == 1:
        weight = weight[:, :, None]
    kernel = weight.shape[2:]
    dilation = pair(dilation, axes)
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    behind = (0, 0)
    if isinstance(padding, str):
        same = padding == "same"
        before = tuple(size // 2 if same else 0 for size in total)
        behind = (total[0] % 2 * same, total[1] % 2 * same)
    else:
        before = pair(padding, axes, 0)
    x = image(low, x, axes)
    if any(behind):
        x = padded(low, x, (0, 0), behind)
    geometry = {
        "stride": pair(stride, axes), "padding": before, "dilation": dilation, "groups": groups,
    }  # fmt: skip

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        arrays = {"weights": (weight,), "biases": (bias,), "of_step": (0,)}
        return [g.Conv(name=name, inputs=tuple(inputs), **arrays, **geometry)]

    return of_image(low, x, axes, make, weights=_of_own_spikes(weight, bias, **geometry))


def _of_own_spikes(
    weight: g.Array, bias: g.Array, *, stride: Any, padding: Any, dilation: Any, groups: int
) -> tuple[g.Array, g.Array] | None:
    """Return weight and bias of a convolution as recurrent weights have them, of all channels and
    without dilation; None if it changes the size of an image."""
    outputs, inputs, *kernel = weight.shape
    spans = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if tuple(stride) != (1, 1) or [2 * before for before in padding] != spans:
        return None
    whole = np.zeros((outputs, inputs * groups, spans[0] + 1, spans[1] + 1), np.float32)
    for i, each in enumerate(weight):
        first = i // (outputs // groups) * inputs
        whole[i, first : first + inputs, :: dilation[0], :: dilation[1]] = each
    return whole, bias


def conv_transpose2d(
    low: Lowering, x: Any, weight: Any, bias: Any = None, stride: Any = (1,), padding: Any = (0,),
    output_padding: Any = (0,), groups: int = 1, dilation: Any = (1,),
) -> Any:  # fmt: skip
    weight, bias = low.array(weight), low.array(bias)
    axes = weight.ndim - 2
    weight = g.swapped(weight[:, :, None] if axes == 1 else weight, groups)
    bias = np.zeros(len(weight), np.float32) if bias is None else bias
    geometry = {
        "stride": pair(stride, axes), "padding": pair(padding, axes, 0),
        "output_padding": pair(output_padding, axes, 0), "dilation": pair(dilation, axes),
        "groups": groups,
    }  # fmt: skip

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        arrays = {"weights": (weight,), "biases": (bias,), "of_step": (0,)}
        return [g.ConvTranspose(name=name, inputs=tuple(inputs), **arrays, **geometry)]

    return of_image(low, image(low, x, axes), axes, make)


def batch_norm(
    low: Lowering, x: Any, weight: Any, bias: Any, mean: Any, var: Any,
    training: bool, momentum: float, eps: float, *_: Any,
) -> Any:  # fmt: skip
    """A norm with running statistics, as a scale of channels in float64."""
    if mean is None or var is None or training:
        why = "it has no running statistics: its output depends on the other samples"
        raise low.refusal(why, "train with track_running_stats=True")
    mean, var, weight, bias = (low.array(part) for part in (mean, var, weight, bias))
    factor = 1 / np.sqrt(var.astype(np.float64) + eps)
    factor = factor if weight is None else factor * weight.astype(np.float64)
    offset = -mean.astype(np.float64) * factor
    offset = offset if bias is None else offset + bias
    x = low.signal(x)
    x = _of_channels(low, x if x.axes[1:2] == (0,) else samples(low, x))
    return _scaled(low, x, factor[None], offset[None])


def _of_channels(low: Lowering, x: Signal) -> Signal:
    """Return a value whose second axis is that of the channels of a sample."""
    if x.axes[1:2] != (0,):
        raise low.refusal("its channels are not those of a sample", "norm [B, C, ...]")
    return x


def _scaled(low: Lowering, x: Signal, factor: g.Array, offset: g.Array) -> Signal:
    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        return [g.ChannelScale(name=name, inputs=tuple(inputs), factor=factor, offset=offset)]

    return low.call([x], low.folding.shape(x.layer), make, axes=x.axes)


def batch_norm_of_inference(
    low: Lowering, x: Any, weight: Any, bias: Any, mean: Any, var: Any, momentum: float, eps: float
) -> Any:
    return batch_norm(low, x, weight, bias, mean, var, False, momentum, eps), None, None


def batch_norm_without_statistics(low: Lowering, *_: Any) -> Any:
    return batch_norm(low, None, None, None, None, None, True, 0.0, 0.0)


def layer_norm(
    low: Lowering, x: Any, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5,
    *_: Any,
) -> Any:  # fmt: skip
    x = samples(low, x)
    options = {"over": len(shape), "eps": eps, "weight": low.array(weight), "bias": low.array(bias)}

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        return [g.LayerNorm(name=name, inputs=tuple(inputs), **options)]

    return low.call([x], low.folding.shape(x.layer), make, axes=x.axes)


def group_norm(
    low: Lowering, x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5,
    *_: Any,
) -> Any:  # fmt: skip
    x = _of_channels(low, samples(low, x))
    options = {"groups": groups, "eps": eps, "weight": low.array(weight), "bias": low.array(bias)}

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        return [g.GroupNorm(name=name, inputs=tuple(inputs), **options)]

    return low.call([x], low.folding.shape(x.layer), make, axes=x.axes)


def instance_norm(
    low: Lowering, x: Any, weight: Any, bias: Any, mean: Any, var: Any,
    use_input_stats: bool, momentum: float, eps: float, *_: Any,
) -> Any:  # fmt: skip
    """A norm of each channel of a sample, or one with running statistics."""
    if not use_input_stats:
        return batch_norm(low, x, weight, bias, mean, var, False, momentum, eps)
    x = low.signal(x)
    return group_norm(low, x, low.size(x, x.axes[1]), weight, bias, eps)


def relu(low: Lowering, x: Any) -> Any:
    make = lambda name, inputs: [g.Relu(name=name, inputs=tuple(inputs))]  # noqa: E731
    return _unary(low, x, make, torch.relu)


def tanh(low: Lowering, x: Any) -> Any:
    make = lambda name, inputs: [g.Tanh(name=name, inputs=tuple(inputs), scale=1.0)]  # noqa: E731
    return _unary(low, x, make, torch.tanh)


def _unary(low: Lowering, x: Any, make: Any, function: Callable[..., Any]) -> Any:
    x = low.signal(x)
    shape = low.folding.shape(x.layer)
    whole = elementwise(low, function, shape, x.axes)
    return low.call([x], shape, make, axes=x.axes, elementwise=whole)


def add(low: Lowering, x: Any, y: Any, alpha: Any = 1) -> Any:
    """x + alpha y; of booleans, as in torch, whether one holds."""
    if low.result == torch.bool:
        return ELEMENTWISE["logical_or"](low, x, y)
    inputs, shape, axes = operands_of(low, x, y)
    whole = elementwise(low, _sum_of(alpha), shape, axes)

    def make(name: str, given: list[Any]) -> list[g.Node]:
        constants = [i for i, each in enumerate(given) if isinstance(each, Const)]
        if not constants:
            nodes: list[g.Node] = []
            if alpha != 1:
                factor = np.full((1, 1), alpha, np.float32)
                nodes.append(_channel_scale(f"{name}.term", given[1], factor, 0 * factor))
                given = [given[0], f"{name}.term"]
            return [*nodes, g.Add(name=name, inputs=tuple(given))]
        (at,) = constants
        scale = alpha if at == 0 else 1
        offset = by_channel(low, given[at], shape, axes)
        if offset is None:
            return [node_of(name, given, whole)]
        offset = offset * np.float32(1 if at == 0 else alpha)
        if scale == 1 and not offset.any():
            return []
        factor = np.full_like(offset, scale)
        return [_channel_scale(name, given[1 - at], factor, offset)]

    signs = (1.0, float(alpha))
    return low.call(inputs, shape, make, axes=axes, signs=signs, elementwise=whole)


def _sum_of(alpha: float) -> Callable[..., Any]:
    """Return the function a + alpha b."""
    plain: dict[float, Callable[..., Any]] = {1: torch.add, -1: torch.sub}
    return plain.get(alpha, lambda a, b: a + alpha * b)


def sub(low: Lowering, x: Any, y: Any, alpha: Any = 1) -> Any:
    return add(low, x, y, -alpha)


def rsub(low: Lowering, x: Any, y: Any, alpha: Any = 1) -> Any:
    return add(low, y, x, -alpha)


def neg(low: Lowering, x: Any) -> Any:
    return mul(low, x, -1)


def mul(low: Lowering, x: Any, y: Any) -> Any:
    if isinstance(x, Const) and isinstance(y, int | float):
        return low.constant(x, lambda tensor: tensor * y)
    return _product(low, x, y, torch.mul)


def div(low: Lowering, x: Any, y: Any) -> Any:
    if is_value(y):
        return _DIVISION(low, x, y)
    other = Const.of(torch.tensor(float(y))) if isinstance(y, int | float) else y
    return _product(low, x, other, torch.div, torch.reciprocal)


def _product(
    low: Lowering,
    x: Any,
    y: Any,
    function: Callable[..., Any],
    factor_of: Callable[..., Any] = torch.Tensor.float,
) -> Any:
    """Return x y, or a function of x and a constant y that is x times a factor which follows from
    y."""
    inputs, shape, axes = operands_of(low, x, y)
    whole = elementwise(low, function, shape, axes)

    def factor_among(operands: list[Any]) -> g.Array | None:
        constant = next((each for each in operands if isinstance(each, Const)), None)
        if constant is None:
            return None
        return by_channel(low, low.constant(constant, factor_of), shape, axes)

    def make(name: str, given: list[Any]) -> list[g.Node]:
        sources = [each for each in given if not isinstance(each, Const)]
        if len(sources) == 2:
            return [g.Product(name=name, inputs=tuple(given))]
        factor = factor_among(given)
        if factor is None:
            return [node_of(name, given, whole)]
        return [_channel_scale(name, sources[0], factor, np.zeros_like(factor))]

    more = {"factor": factor_among(inputs), "elementwise": whole}
    return low.call(inputs, shape, make, axes=axes, **more)


def _channel_scale(name: str, source: str, factor: g.Array, offset: g.Array) -> g.Node:
    return g.ChannelScale(name=name, inputs=(source,), factor=factor, offset=offset)


def _unsupported(why: str, remedy: str) -> Callable[..., Any]:
    def refuse(low: Lowering, *_: Any, **__: Any) -> Any:
        raise low.refusal(why, remedy)

    return refuse


_NO_ANSWER = _unsupported("exports return the values that the answer is chosen from", LOGITS)
_DIVISION = of_several(2, torch.div)

OPERATORS: dict[str, Callable[..., Any]] = {
    **ARRANGING,
    **ELEMENTWISE,
    **FUNCTIONS,
    "linear": linear,
    "addmm": addmm,
    "mm": matmul,
    "bmm": matmul,
    "matmul": matmul,
    "conv1d": conv2d,
    "conv2d": conv2d,
    "conv_transpose1d": conv_transpose2d,
    "conv_transpose2d": conv_transpose2d,
    "max_pool1d": max_pool,
    "max_pool2d": max_pool,
    "max_pool2d_with_indices": max_pool_with_indices,
    "avg_pool1d": avg_pool,
    "avg_pool2d": avg_pool,
    "adaptive_max_pool1d": adaptive_max_pool,
    "adaptive_max_pool2d": adaptive_max_pool,
    "upsample_nearest1d": resampled,
    "upsample_nearest2d": resampled,
    "_upsample_nearest_exact1d": resampled,
    "_upsample_nearest_exact2d": resampled,
    "upsample_linear1d": resampled,
    "upsample_bilinear2d": resampled,
    "upsample_bicubic2d": resampled,
    "pad": pad,
    "flip": flip,
    "roll": roll,
    "index_select": index_select,
    "pixel_shuffle": rearranged,
    "pixel_unshuffle": rearranged,
    "channel_shuffle": rearranged,
    "im2col": rearranged,
    "repeat_interleave": rearranged,
    "adaptive_avg_pool1d": adaptive_avg_pool,
    "adaptive_avg_pool2d": adaptive_avg_pool,
    "batch_norm": batch_norm,
    "_native_batch_norm_legit_no_training": batch_norm_of_inference,
    "_native_batch_norm_legit": batch_norm_without_statistics,
    "instance_norm": instance_norm,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "relu": relu,
    "tanh": tanh,
    "add": add,
    "sub": sub,
    "rsub": rsub,
    "neg": neg,
    "mul": mul,
    "div": div,
    "sum": reduced("sum"),
    "mean": reduced("mean"),
    "max": extremum("max"),
    "min": extremum("min"),
    "amax": reduced("max"),
    "amin": reduced("min"),
    "softmax": softmax(log=False),
    "log_softmax": softmax(log=True),
    "argmax": _NO_ANSWER,
}
