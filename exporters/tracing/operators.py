"""Operators of aten that are layers of the graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..graph import ir as g
from .axes import ARRANGING, converted, pixel_axes
from .calls import ONE_STEP
from .elementwise import ELEMENTWISE, elementwise, is_value, node_of, of_several
from .samples import by_channel, image, of_image, operands_of, padded, samples
from .values import ALL, Const, Reduced, Signal

if TYPE_CHECKING:
    from .lowering import Lowering

MEANS = "use nn.AvgPool2d for a mean of pixels; F.linear with a constant matrix for one of features"
LOGITS = "return the values themselves: a caller can compute it of the answer"


def linear(low: Lowering, x: Any, weight: Any, bias: Any = None) -> Any:
    """y = W x + b; of a sum or mean over the steps, that of each step's."""
    weight, bias = low.array(weight), low.array(bias)
    bias = np.zeros(len(weight), np.float32) if bias is None else bias
    if isinstance(x, Reduced):
        value = linear(low, x.signal, Const.of(torch.from_numpy(weight)), Const.of(
            torch.from_numpy(np.asarray(bias / np.float32(x.factor), np.float32))
        ))  # fmt: skip
        return replace(x, signal=value)
    x = samples(low, x, 1)

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        arrays = {"weights": (weight,), "biases": (bias,), "of_step": (0,)}
        return [g.Linear(name=name, inputs=tuple(inputs), **arrays)]

    return low.call([x], (len(weight),), make, axes=x.axes, weights=(weight, bias))


def addmm(low: Lowering, bias: Any, x: Any, weight: Any) -> Any:
    return linear(low, x, low.constant(weight, lambda w: w.t()), bias)


def matmul(low: Lowering, x: Any, weight: Any) -> Any:
    if not isinstance(weight, Const):
        why = "it multiplies two values that depend on the input"
        raise low.refusal(why, "use nn.Linear, or a layer with a method lower(graph, name)")
    return linear(low, x, low.constant(weight, lambda w: w.t()))


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
    dilation = _pair(dilation, axes)
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    behind = (0, 0)
    if isinstance(padding, str):
        same = padding == "same"
        before = tuple(size // 2 if same else 0 for size in total)
        behind = (total[0] % 2 * same, total[1] % 2 * same)
    else:
        before = _pair(padding, axes, 0)
    x = image(low, x, axes)
    if any(behind):
        x = padded(low, x, behind)
    geometry = {
        "stride": _pair(stride, axes), "padding": before, "dilation": dilation, "groups": groups,
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
        "stride": _pair(stride, axes), "padding": _pair(padding, axes, 0),
        "output_padding": _pair(output_padding, axes, 0), "dilation": _pair(dilation, axes),
        "groups": groups,
    }  # fmt: skip

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        arrays = {"weights": (weight,), "biases": (bias,), "of_step": (0,)}
        return [g.ConvTranspose(name=name, inputs=tuple(inputs), **arrays, **geometry)]

    return of_image(low, image(low, x, axes), axes, make)


def max_pool(
    low: Lowering, x: Any, kernel: Any, stride: Any = (), padding: Any = (0,),
    dilation: Any = (1,), ceil_mode: bool = False,
) -> Any:  # fmt: skip
    axes = low.pooled_axes
    options = {"dilation": _pair(dilation, axes), "ceil_mode": ceil_mode}
    return _pool(low, x, axes, "max", (kernel, stride, padding), options)


def max_pool_with_indices(low: Lowering, *args: Any, **kwargs: Any) -> Any:
    return max_pool(low, *args, **kwargs), None


def avg_pool(
    low: Lowering, x: Any, kernel: Any, stride: Any = (), padding: Any = (0,),
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: Any = None,
) -> Any:  # fmt: skip
    axes = low.pooled_axes
    options = {
        "ceil_mode": ceil_mode, "count_include_pad": count_include_pad,
        "divisor_override": divisor_override,
    }  # fmt: skip
    return _pool(low, x, axes, "average", (kernel, stride, padding), options)


def adaptive_avg_pool(low: Lowering, x: Any, size: Any) -> Any:
    axes = low.pooled_axes
    own = low.folding.shape(image(low, x, axes).layer)[1:]
    wanted = [
        n if given is None else given for n, given in zip(own, _pair(size, axes), strict=True)
    ]
    if any(n % given for n, given in zip(own, wanted, strict=True)):
        why = f"of {own[0]} x {own[1]} it takes windows of unequal size"
        raise low.refusal(why, "pool to sizes that divide the image")
    window = tuple(n // given for n, given in zip(own, wanted, strict=True))
    return _pool(low, x, axes, "average", (window, window, (0, 0)), {})


def _pool(
    low: Lowering, x: Any, axes: int, kind: Any, window: tuple[Any, Any, Any], more: dict[str, Any]
) -> Any:
    size, stride, padding = window
    kernel = _pair(size, axes)
    of_window = {"kernel": kernel, "stride": _pair(stride, axes) if stride else kernel}
    of_window |= {"padding": _pair(padding, axes, 0)}

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        return [g.Pool(name=name, inputs=tuple(inputs), kind=kind, **of_window, **more)]

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
    if x.axes[1:2] != (0,):
        raise low.refusal("its channels are not those of a sample", "norm [B, C, ...]")
    return _scaled(low, x, factor[None], offset[None])


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
    x = samples(low, x)
    options = {"groups": groups, "eps": eps, "weight": low.array(weight), "bias": low.array(bias)}

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        return [g.GroupNorm(name=name, inputs=tuple(inputs), **options)]

    return low.call([x], low.folding.shape(x.layer), make, axes=x.axes)


def relu(low: Lowering, x: Any) -> Any:
    make = lambda name, inputs: [g.Relu(name=name, inputs=tuple(inputs))]  # noqa: E731
    return _unary(low, x, make, torch.relu)


def tanh(low: Lowering, x: Any) -> Any:
    make = lambda name, inputs: [g.Tanh(name=name, inputs=tuple(inputs), scale=1.0)]  # noqa: E731
    return _unary(low, x, make, torch.tanh)


def _unary(low: Lowering, x: Any, make: Any, function: Callable[..., Any]) -> Any:
    if isinstance(x, Reduced) and x.kind == "last" and x.factor == 1:
        return replace(x, signal=_unary(low, x.signal, make, function))
    x = low.signal(x)
    shape = low.folding.shape(x.layer)
    whole = elementwise(low, function, shape, x.axes)
    return low.call([x], shape, make, axes=x.axes, elementwise=whole)


def add(low: Lowering, x: Any, y: Any, alpha: Any = 1) -> Any:
    """x + alpha y."""
    if isinstance(x, Reduced) and isinstance(y, Reduced):
        if (x.kind, x.factor) == (y.kind, y.factor):
            return replace(x, signal=add(low, x.signal, y.signal, alpha))
        raise low.refusal("it adds two means or sums of different factors", ONE_STEP)
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
    if isinstance(x, Reduced) or isinstance(y, Reduced):
        reduced, other = (x, y) if isinstance(x, Reduced) else (y, x)
        value = low.number(other)
        if value is None and isinstance(other, Const):
            return replace(reduced, signal=mul(low, reduced.signal, other))
        if value is None:
            raise low.refusal("it multiplies a mean or sum over the steps", LOGITS)
        return replace(reduced, factor=reduced.factor * value)
    return _product(low, x, y, torch.mul)


def div(low: Lowering, x: Any, y: Any) -> Any:
    if is_value(y):
        return _DIVISION(low, x, y)
    other = Const.of(torch.tensor(float(y))) if isinstance(y, int | float) else y
    if isinstance(x, Reduced):
        return mul(low, x, low.constant(other, torch.reciprocal))
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


def reduced(kind: str) -> Callable[..., Any]:
    """Return the operator of a sum or mean: over the steps, or over the pixels of each channel."""

    def reduce(
        low: Lowering, x: Any, dims: Any = None, keepdim: bool = False, *, dtype: Any = None
    ) -> Any:
        x = converted(low, low.traced(x), dtype=dtype)
        every = list(range(len(x.axes)))
        chosen = every if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
        positions = {d % len(x.axes) for d in chosen}
        axes = [x.axes[d] for d in sorted(positions)]
        left = tuple(axis for d, axis in enumerate(x.axes) if d not in positions)
        if axes == ["T"] and x.step == ALL and not keepdim:
            factor = float(low.size(x, "T")) if kind == "sum" else 1.0
            return Reduced(replace(low.signal(x), axes=left), "mean", factor)
        pixels = pixel_axes(low, x, axes)
        if not pixels and all(low.size(x, axis) == 1 for axis in axes) and not keepdim:
            return replace(x, axes=left)
        shape = low.folding.shape(low.signal(x).layer)
        if pixels == list(range(1, len(shape))) and len(shape) == 3 and "B" not in axes:
            return _mean_of_pixels(low, low.signal(x), shape, left, kind, keepdim)
        why = "exports have it over all steps, or over all pixels of a channel"
        raise low.refusal(why, MEANS)

    return reduce


def _mean_of_pixels(
    low: Lowering, x: Signal, shape: g.Shape, left: Any, kind: str, keepdim: bool
) -> Signal:
    window = (shape[1], shape[2])

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        pool = g.Pool(name=name, inputs=tuple(inputs), kind="average", kernel=window, stride=window)
        if kind == "mean":
            return [pool]
        of_sum = np.full((1, 1), prod(window), np.float32)
        mean = replace(pool, name=f"{name}.mean")
        return [mean, _channel_scale(name, mean.name, of_sum, np.zeros_like(of_sum))]

    axes = x.axes if keepdim else left
    return low.call([x], (shape[0], 1, 1), make, axes=axes)


def _unsupported(why: str, remedy: str) -> Callable[..., Any]:
    def refuse(low: Lowering, *_: Any, **__: Any) -> Any:
        raise low.refusal(why, remedy)

    return refuse


def _pair(value: Any, axes: int, missing: int = 1) -> tuple[Any, Any]:
    """Return the two sizes of an image; of a series, that of its one axis behind `missing`."""
    values: list[Any] = [value] if isinstance(value, int) or value is None else list(value)
    if axes == 1 and len(values) == 1:
        return (missing, values[0])
    return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])


_NO_ANSWER = _unsupported("exports return the values that the answer is chosen from", LOGITS)
_DIVISION = of_several(2, torch.div)

OPERATORS: dict[str, Callable[..., Any]] = {
    **ARRANGING,
    **ELEMENTWISE,
    "linear": linear,
    "addmm": addmm,
    "mm": matmul,
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
    "adaptive_avg_pool1d": adaptive_avg_pool,
    "adaptive_avg_pool2d": adaptive_avg_pool,
    "batch_norm": batch_norm,
    "_native_batch_norm_legit_no_training": batch_norm_of_inference,
    "_native_batch_norm_legit": batch_norm_without_statistics,
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
    "softmax": _NO_ANSWER,
    "_softmax": _NO_ANSWER,
    "log_softmax": _NO_ANSWER,
    "_log_softmax": _NO_ANSWER,
    "argmax": _NO_ANSWER,
    "max": _NO_ANSWER,
    "amax": _NO_ANSWER,
}
