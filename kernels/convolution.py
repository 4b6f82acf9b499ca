"""Convolution of spikes whose cost is that of the spikes, as a differentiable function."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .contract import Convolution
from .costs import FORWARD, INPUTS, WEIGHTS, Machine, Way, cheapest
from .dispatch import is_traced
from .memory import buffers

OUT_MULTIPLE = 16  # output channels lie in vectors
SAMPLE = 16  # one of so many images decides about the density


class Paths(NamedTuple):
    """How output, gradient of the weights and gradient of the input are computed."""

    forward: Way
    weights: Way
    inputs: Way


DENSE = Paths("dense", "dense", "dense")


def share_active(x: Tensor) -> float:
    """Return an estimate of the share of values of images `[N, ...]` that are not 0."""
    sample = x[::SAMPLE]
    return int(sample.count_nonzero()) / max(sample.numel(), 1)


def looks_bfloat16(x: Tensor) -> bool:
    """Return whether a sample of images `[N, ...]` has bfloat16 values only, as spikes are."""
    return not bool((x[::SAMPLE].view(torch.int32) & 0xFFFF).any())


def paths_for(shape: Convolution, x: Tensor, *, machine: Machine, learns: bool) -> Paths:
    """Return the cheapest ways of a convolution of the images `x`.

    Args:
        shape: of the convolution.
        x: images; their density matters, and whether they are spikes.
        machine: that computes.
        learns: whether a backward pass may follow.
    """
    passes = (FORWARD, WEIGHTS, INPUTS) if learns else (FORWARD,)

    def chosen(share: float, machine: Machine) -> list[Way]:
        return [cheapest(shape, costs, share, machine) for costs in passes]

    share = 0.0
    found = chosen(share, machine)
    if "events" in found:  # else the values do not matter
        share = share_active(x)
        found = chosen(share, machine)
    if "tiles" in found[:2] and not looks_bfloat16(x):
        found[:2] = chosen(share, machine._replace(tiles=False))[:2]
    if found[0] == "dense" and found[1:] and found[1] == "tiles":
        found[1] = "dense"  # a dense forward pass does not check that all values are bfloat16
    return Paths(*found) if learns else Paths(found[0], "dense", "dense")


def packed(weight: Tensor, way: Way, backend: Any, stride: tuple[int, int]) -> Tensor:
    """Return weights `[out, in, kh, kw]` in the layout that the kernels of a way read."""
    if way == "tiles":
        return backend.pack_weights(weight.detach(), stride, backward=False)
    return _transposed(weight.detach().flatten(1)) if way == "events" else weight


def _transposed(matrix: Tensor) -> Tensor:
    return buffers.take(matrix.shape[1], matrix.shape[0]).copy_(matrix.t())


def spike_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    prefix: Tensor | None,
    backend: Any,
    shape: Convolution,
    paths: Paths,
    packed_weight: Tensor | None = None,
) -> Tensor:
    """Return the convolution of images `[N, in, H, W]` in channels-last order.

    It is `torch.nn.functional.conv2d` of any values but for the order of the sums. By tiles, the
    gradients are rounded to 16 bits before they are multiplied.

    Args:
        x: images, mostly zeros.
        weight: `[out, in, kh, kw]`, the outputs a multiple of `OUT_MULTIPLE`.
        bias: `[out]` or None.
        prefix: images to which the result is appended, as by `torch.cat`.
        backend: module with the kernels of `cpu`.
        shape: of the convolution.
        paths: how it is computed.
        packed_weight: `packed(weight, paths.forward, backend, stride)` of an earlier call.
    """
    if not torch.is_grad_enabled():
        return forward(x, weight, bias, prefix, backend, shape, paths, packed_weight).out
    return _SpikeConvolution.apply(x, weight, bias, prefix, backend, shape, paths, packed_weight)  # type: ignore[return-value]


class Result(NamedTuple):
    """The result of a forward pass.

    Attributes:
        out: the images.
        rows: x as `[N, H, W, in]`; uint8 if marks were requested and all values are 0 or 1.
        is_bfloat16: whether x is known to hold bfloat16 values only.
    """

    out: Tensor
    rows: Tensor
    is_bfloat16: bool


def forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    prefix: Tensor | None,
    backend: Any,
    shape: Convolution,
    paths: Paths,
    packed_weight: Tensor | None = None,
    *,
    mark: bool = False,
) -> Result:
    """Return the convolution; with `mark`, spikes as bytes, which are enough for the gradient."""
    rows = x.permute(0, 2, 3, 1).contiguous()
    is_bfloat16 = False
    out = None
    if paths.forward != "dense":
        if packed_weight is None:
            packed_weight = packed(weight, paths.forward, backend, shape.stride)
        bias = None if bias is None else bias.contiguous()
        number = 0 if prefix is None else len(prefix)
        if paths.forward == "events":
            out, is_bfloat16 = backend.convolve_events(
                rows, packed_weight, bias, shape, prefix=number
            )
            rows = rows.to(torch.uint8) if mark and is_bfloat16 else rows
        else:
            marks = _bytes(*rows.shape) if mark else None
            out, is_bfloat16, is_binary = backend.convolve_tiles(
                rows, packed_weight, bias, shape, spikes=marks, prefix=number
            )
            rows = marks if marks is not None and is_binary else rows
            out = out if is_bfloat16 else None  # the kernel computes bfloat16 values only
    if out is None:
        out = torch.nn.functional.conv2d(x, weight, bias, shape.stride, shape.padding)
        return Result(out if prefix is None else torch.cat([prefix, out]), rows, False)
    out = out.permute(0, 3, 1, 2)
    if prefix is not None:
        out[: len(prefix)] = prefix
    return Result(out, rows, is_bfloat16)


def _bytes(*shape: int) -> Tensor:
    """Return memory for one byte a value."""
    size = math.prod(shape)
    return buffers.take(-(-size // 4)).view(torch.uint8)[:size].view(shape)


def backward(
    grad: Tensor,
    rows: Tensor,
    weight: Tensor,
    backend: Any,
    shape: Convolution,
    paths: Paths,
    *,
    of_x: bool,
    of_weight: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of images and weights, each if requested.

    Args:
        grad: of the output `[N, out, H, W]`, channels last, without the prefix.
        rows: images `[N, H, W, in]`; see `Result`.
        weight, backend, shape, paths: of the forward pass.
        of_x, of_weight: which gradients are requested.
    """
    x_grad = weight_grad = None
    dense = of_x and paths.inputs == "dense", of_weight and paths.weights == "dense"
    if any(dense):
        if dense[1]:
            x = rows.permute(0, 3, 1, 2)
        else:  # only its shape and its order in memory matter
            x = buffers.take(shape.images, *shape.size, shape.channels[0]).permute(0, 3, 1, 2)
        x_grad, weight_grad, _ = torch.ops.aten.convolution_backward(
            grad, x, weight, None, shape.stride, shape.padding, (1, 1), False, (0, 0), 1,
            (*dense, False),
        )  # fmt: skip
    grad_rows = grad.permute(0, 2, 3, 1)
    if of_x and paths.inputs == "tiles":
        tiles = backend.pack_weights(weight, shape.stride, backward=True)
        found, *_ = backend.convolve_tiles(grad_rows, tiles, None, shape, backward=True)
        x_grad = found.permute(0, 3, 1, 2)
    if of_weight and paths.weights != "dense":
        by_tiles = paths.weights == "tiles"
        kernel = backend.weight_grad_tiles if by_tiles else backend.weight_grad_events
        taps = kernel(grad_rows, rows, shape)
        weight_grad = _transposed(taps.flatten(0, 2)).view(weight.shape)
    return x_grad, weight_grad


class _SpikeConvolution(torch.autograd.Function):
    """The function for eager code."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        prefix: Tensor | None,
        backend: Any,
        shape: Convolution,
        paths: Paths,
        packed_weight: Tensor | None,
    ) -> Tensor:
        mark = paths.weights != "dense" and ctx.needs_input_grad[1]
        found = forward(x, weight, bias, prefix, backend, shape, paths, packed_weight, mark=mark)
        ctx.backend, ctx.shape, ctx.paths = backend, shape, backward_paths(paths, found)
        ctx.prefix = 0 if prefix is None else len(prefix)
        ctx.save_for_backward(found.rows, weight)
        return found.out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        rows, weight = ctx.saved_tensors
        all_grad = grads[0].contiguous(memory_format=torch.channels_last)
        grad = all_grad[ctx.prefix :]
        of_x, of_weight, of_bias, of_prefix, *_ = ctx.needs_input_grad
        x_grad, weight_grad = backward(
            grad, rows, weight, ctx.backend, ctx.shape, ctx.paths, of_x=of_x, of_weight=of_weight
        )
        bias_grad = grad.sum((0, 2, 3)) if of_bias else None
        prefix_grad = all_grad[: ctx.prefix] if of_prefix else None
        return x_grad, weight_grad, bias_grad, prefix_grad, None, None, None, None


def backward_paths(paths: Paths, found: Result) -> Paths:
    """Return the paths of the backward pass: tiles need values that are known to be bfloat16."""
    if paths.weights == "tiles" and not found.is_bfloat16:
        return paths._replace(weights="dense")
    return paths


def subsampled(x: Tensor, stride: tuple[int, int]) -> Tensor:
    """Return the pixels of images `[N, C, H, W]` that a stride visits, channels last."""
    if is_traced(x):
        return _visited(x, stride)
    return _Subsampled.apply(x, stride)  # type: ignore[return-value]


def _visited(x: Tensor, stride: tuple[int, int]) -> Tensor:
    return x[..., :: stride[0], :: stride[1]].contiguous(memory_format=torch.channels_last)


class _Subsampled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stride: tuple[int, int]) -> Tensor:
        ctx.shape, ctx.stride = x.shape, stride
        return _visited(x, stride)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        number, channels, height, width = ctx.shape
        if grads[0].device.type == "cpu" and grads[0].dtype == torch.float32:
            rows = buffers.take(number, height, width, channels).zero_()
        else:
            rows = grads[0].new_zeros(number, height, width, channels)
        down, across = ctx.stride
        rows[:, ::down, ::across] = grads[0].permute(0, 2, 3, 1)
        return rows.permute(0, 3, 1, 2), None
