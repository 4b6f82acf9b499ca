"""Convolution of spikes that costs what there is to do, as a function with its gradient."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .contract import Convolution
from .costs import FORWARD, INPUTS, WEIGHTS, Machine, Way, cheapest
from .memory import buffers

OUT_MULTIPLE = 16  # output channels come in vectors
SAMPLE = 16  # one image in so many tells the share


def _bytes(*shape: int) -> Tensor:
    """Return room for a byte a value."""
    size = math.prod(shape)
    return buffers.take(-(-size // 4)).view(torch.uint8)[:size].view(shape)


def share_active(x: Tensor) -> float:
    """Return about how large a share of the values of images `[N, ...]` is not 0."""
    sample = x[::SAMPLE]
    return int(sample.count_nonzero()) / max(sample.numel(), 1)


def seem_short(x: Tensor) -> bool:
    """Return whether values of images `[N, ...]` seem to be bfloat16, as spikes are."""
    return not bool((x[::SAMPLE].view(torch.int32) & 0xFFFF).any())


class Paths(NamedTuple):
    """How output, gradient of the weights and gradient of the input are computed."""

    forward: Way
    weights: Way
    inputs: Way


DENSE = Paths("dense", "dense", "dense")


def paths_for(shape: Convolution, x: Tensor, *, machine: Machine, learns: bool) -> Paths:
    """Return the cheapest ways of a convolution of the images `x`.

    Args:
        shape: of the convolution.
        x: images, of which it matters how much is not 0, and whether they are spikes.
        machine: that computes.
        learns: whether a backward pass may follow.
    """
    wanted = (FORWARD, WEIGHTS, INPUTS) if learns else (FORWARD,)

    def chosen(share: float, machine: Machine) -> list[Way]:
        return [cheapest(shape, costs, share, machine) for costs in wanted]

    share = 0.0
    found = chosen(share, machine)
    if "events" in found:  # else the images need not be looked at
        share = share_active(x)
        found = chosen(share, machine)
    if "tiles" in found[:2] and not seem_short(x):
        found[:2] = chosen(share, machine._replace(tiles=False))[:2]
    if found[0] == "dense" and found[1:] and found[1] == "tiles":
        found[1] = "dense"  # what is not looked at may not be spikes
    return Paths(*found) if learns else Paths(found[0], "dense", "dense")


def prepared(weight: Tensor, way: Way, backend: Any, stride: tuple[int, int]) -> Tensor:
    """Return weights `[out, in, kh, kw]` as the kernels of a way read them."""
    if way == "tiles":
        return backend.weights_as_tiles(weight.detach(), stride, back=False)
    return _transposed(weight.detach().flatten(1)) if way == "events" else weight


def _transposed(matrix: Tensor) -> Tensor:
    return buffers.take(matrix.shape[1], matrix.shape[0]).copy_(matrix.t())


def spike_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    before: Tensor | None,
    backend: Any,
    shape: Convolution,
    paths: Paths,
    ready: Tensor | None = None,
) -> Tensor:
    """Return the convolution of images `[N, in, H, W]` in channels-last order.

    It is `torch.nn.functional.conv2d`, whatever the values of x, but for the order of the sums.
    Gradients by tiles are rounded to 16 bits before they are multiplied.

    Args:
        x: images, mostly zeros.
        weight: `[out, in, kh, kw]`, the outputs a multiple of `OUT_MULTIPLE`.
        bias: `[out]` or None.
        before: images that stand in front of the result, as `torch.cat` would put them there.
        backend: module with the kernels of `cpu`.
        shape: of it all.
        paths: how it is computed.
        ready: `prepared(weight, paths.forward, backend, stride)`, if it is at hand.
    """
    if not torch.is_grad_enabled():
        return _forward(x, weight, bias, before, backend, shape, paths, ready).out
    return _SpikeConvolution.apply(x, weight, bias, before, backend, shape, paths, ready)  # type: ignore[return-value]


class _Result(NamedTuple):
    """What a forward pass gives.

    Attributes:
        out: the images.
        rows: x as `[N, H, W, in]`; uint8 where marks were asked for and all values are 0 or 1.
        short: whether x is known to hold bfloat16 values only.
    """

    out: Tensor
    rows: Tensor
    short: bool


def _forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    before: Tensor | None,
    backend: Any,
    shape: Convolution,
    paths: Paths,
    ready: Tensor | None,
    *,
    mark: bool = False,
) -> _Result:
    rows = x.permute(0, 2, 3, 1).contiguous()
    short = False
    out = None
    if paths.forward != "dense":
        if ready is None:
            ready = prepared(weight, paths.forward, backend, shape.stride)
        bias = None if bias is None else bias.contiguous()
        number = 0 if before is None else len(before)
        if paths.forward == "events":
            out, short = backend.convolve(rows, ready, bias, shape, before=number)
            # One byte for each spike is enough for the backward pass.
            rows = rows.to(torch.uint8) if mark and short else rows
        else:
            marks = _bytes(*rows.shape) if mark else None
            out, short, binary = backend.convolve_by_tiles(
                rows, ready, bias, shape, marks=marks, before=number
            )
            rows = marks if marks is not None and binary else rows
            out = out if short else None  # some other values: they are not computed by tiles
    if out is None:
        out = torch.nn.functional.conv2d(x, weight, bias, shape.stride, shape.padding)
        return _Result(out if before is None else torch.cat([before, out]), rows, False)
    out = out.permute(0, 3, 1, 2)
    if before is not None:
        out[: len(before)] = before
    return _Result(out, rows, short)


class _SpikeConvolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        before: Tensor | None,
        backend: Any,
        shape: Convolution,
        paths: Paths,
        ready: Tensor | None,
    ) -> Tensor:
        mark = paths.weights != "dense" and ctx.needs_input_grad[1]
        found = _forward(x, weight, bias, before, backend, shape, paths, ready, mark=mark)
        way = paths.weights
        if way == "tiles" and not found.short:
            way = "dense"
        ctx.backend, ctx.shape, ctx.paths = backend, shape, paths._replace(weights=way)
        ctx.before = 0 if before is None else len(before)
        ctx.save_for_backward(found.rows, weight)
        return found.out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        rows, weight = ctx.saved_tensors
        all_grad = grads[0].contiguous(memory_format=torch.channels_last)
        grad = all_grad[ctx.before :]
        of_x, of_weight, of_bias, of_before, *_ = ctx.needs_input_grad
        shape: Convolution = ctx.shape
        paths: Paths = ctx.paths
        x_grad = weights = None
        dense = of_x and paths.inputs == "dense", of_weight and paths.weights == "dense"
        if any(dense):
            if dense[1]:
                x = rows.permute(0, 3, 1, 2)
            else:  # only its shape and its order in memory are looked at
                x = buffers.take(shape.images, *shape.size, shape.channels[0]).permute(0, 3, 1, 2)
            x_grad, weights, _ = torch.ops.aten.convolution_backward(
                grad, x, weight, None, shape.stride, shape.padding, (1, 1), False, (0, 0), 1,
                (*dense, False),
            )  # fmt: skip
        grad_rows = grad.permute(0, 2, 3, 1)
        if of_x and paths.inputs == "tiles":
            tiles = ctx.backend.weights_as_tiles(weight, shape.stride, back=True)
            found, *_ = ctx.backend.convolve_by_tiles(grad_rows, tiles, None, shape, back=True)
            x_grad = found.permute(0, 3, 1, 2)
        if of_weight and paths.weights != "dense":
            by_tiles = paths.weights == "tiles"
            back = ctx.backend.convolve_back_by_tiles if by_tiles else ctx.backend.convolve_back
            taps = back(grad_rows, rows, shape)
            weights = _transposed(taps.flatten(0, 2)).view(weight.shape)
        return (
            x_grad,
            weights,
            grad.sum((0, 2, 3)) if of_bias else None,
            all_grad[: ctx.before] if of_before else None,
            None,
            None,
            None,
            None,
        )


def every(x: Tensor, stride: tuple[int, int]) -> Tensor:
    """Return the places of images `[N, C, H, W]` that a stride does not skip, channels last."""
    return _Every.apply(x, stride)  # type: ignore[return-value]


class _Every(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stride: tuple[int, int]) -> Tensor:
        ctx.shape, ctx.stride = x.shape, stride
        return x[..., :: stride[0], :: stride[1]].contiguous(memory_format=torch.channels_last)

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
