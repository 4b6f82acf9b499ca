"""Convolution of spikes that costs what there is to do, as a function with its gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .contract import Convolution
from .costs import BACKWARD, FORWARD, densest
from .memory import buffers

OUT_MULTIPLE = 16  # output channels come in vectors
SAMPLE = 16  # one image in so many tells the share


def share_active(x: Tensor) -> float:
    """Return about how large a share of the values of images `[N, ...]` is not 0."""
    sample = x[::SAMPLE]
    return int(sample.count_nonzero()) / max(sample.numel(), 1)


class Paths(NamedTuple):
    """Which passes go by events; the others are dense."""

    forward: bool
    backward: bool


NEITHER = Paths(False, False)


def cheapest(shape: Convolution, x: Tensor, *, wide: bool, learns: bool) -> Paths:
    """Return which passes over the images `x` are cheaper by events.

    Args:
        shape: of the convolution.
        x: images, of which it matters how much is not 0.
        wide: whether the machine has registers of 16 values.
        learns: whether a backward pass may follow.
    """
    limits = [densest(shape, FORWARD, wide=wide)]
    if learns:
        limits.append(densest(shape, BACKWARD, wide=wide))
    if max(limits) < 0:  # whatever the images: they need not be looked at
        return NEITHER
    share = share_active(x)
    return Paths(share <= limits[0], learns and share <= limits[-1])


def event_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    before: Tensor | None,
    backend: Any,
    shape: Convolution,
    paths: Paths,
    taps: Tensor | None = None,
) -> Tensor:
    """Return the convolution of images `[N, in, H, W]` in channels-last order.

    It is `torch.nn.functional.conv2d`, whatever the values of x, but for the order of the sums.

    Args:
        x: images, mostly zeros.
        weight: `[out, in, kh, kw]`, the outputs a multiple of `OUT_MULTIPLE`.
        bias: `[out]` or None.
        before: images that stand in front of the result, as `torch.cat` would put them there.
        backend: module with `convolve` and `convolve_back`.
        shape: of it all.
        paths: which passes go by events.
        taps: `taps_of(weight)`, if it is at hand.
    """
    if paths.forward and not torch.is_grad_enabled():
        return _forward(x, weight, bias, before, backend, shape, taps)[0]
    return _EventConvolution.apply(x, weight, bias, before, backend, shape, paths)  # type: ignore[return-value]


def taps_of(weight: Tensor) -> Tensor:
    """Return weights `[out, in, kh, kw]` as kernels read them: `[kh, kw, in, out]`."""
    return weight.permute(2, 3, 1, 0).contiguous()


def _forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    before: Tensor | None,
    backend: Any,
    shape: Convolution,
    taps: Tensor | None,
) -> tuple[Tensor, Tensor, bool]:
    """Return the result, the rows of x, and whether these are 0 and 1 only."""
    rows = x.permute(0, 2, 3, 1).contiguous()
    taps = taps_of(weight) if taps is None else taps
    bias = None if bias is None else bias.contiguous()
    number = 0 if before is None else len(before)
    out, binary = backend.convolve(rows, taps, bias, shape, before=number)
    out = out.permute(0, 3, 1, 2)
    if before is not None:
        out[:number] = before
    return out, rows, binary


class _EventConvolution(torch.autograd.Function):
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
    ) -> Tensor:
        ctx.backend, ctx.shape, ctx.paths = backend, shape, paths
        ctx.before = 0 if before is None else len(before)
        if not paths.forward:
            ctx.save_for_backward(x.permute(0, 2, 3, 1).contiguous(), weight)
            out = torch.nn.functional.conv2d(x, weight, bias, shape.stride, shape.padding)
            return out if before is None else torch.cat([before, out])
        out, rows, binary = _forward(x, weight, bias, before, backend, shape, None)
        # One byte for each spike is enough for the backward pass.
        small = binary and paths.backward and ctx.needs_input_grad[1]
        ctx.save_for_backward(rows.to(torch.uint8) if small else rows, weight)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        rows, weight = ctx.saved_tensors
        all_grad = grads[0].contiguous(memory_format=torch.channels_last)
        grad = all_grad[ctx.before :]
        of_x, of_weight, of_bias, of_before, *_ = ctx.needs_input_grad
        shape: Convolution = ctx.shape
        x_grad = weights = None
        dense = of_weight and not ctx.paths.backward
        if of_x or dense:  # the gradient of x is as dense as that of the output
            if dense:
                x = rows.permute(0, 3, 1, 2)
            else:  # only its shape and its order in memory are looked at
                x = buffers.take(shape.images, *shape.size, shape.channels[0]).permute(0, 3, 1, 2)
            x_grad, weights, _ = torch.ops.aten.convolution_backward(
                grad, x, weight, None, shape.stride, shape.padding, (1, 1), False, (0, 0), 1,
                (of_x, dense, False),
            )  # fmt: skip
        if of_weight and not dense:
            taps = ctx.backend.convolve_back(grad.permute(0, 2, 3, 1), rows, shape)
            weights = taps.permute(3, 2, 0, 1).contiguous()
        return (
            x_grad,
            weights,
            grad.sum((0, 2, 3)) if of_bias else None,
            all_grad[: ctx.before] if of_before else None,
            None,
            None,
            None,
        )
