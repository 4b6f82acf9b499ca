"""Convolution of spikes that costs what there is to do, as a function with its gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .contract import Convolution
from .memory import buffers

# Measured on 8x8 and 16x16 maps: above these shares of values that are not 0, the dense
# convolution is faster; above the second, nothing is done by events at all.
DENSEST_FORWARD = 0.3
DENSEST_BACKWARD = 0.5
OUT_MULTIPLE = 16  # output channels come in vectors
SAMPLE = 16  # one image in so many tells the share


def share_active(x: Tensor) -> float:
    """Return about how large a share of the values of images `[N, ...]` is not 0."""
    sample = x[::SAMPLE]
    return int(sample.count_nonzero()) / max(sample.numel(), 1)


def event_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    before: Tensor | None,
    backend: Any,
    shape: Convolution,
    share: float,
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
        share: of the values that are not 0.
        taps: `taps_of(weight)`, if it is at hand.
    """
    if share <= DENSEST_FORWARD and not torch.is_grad_enabled():
        return _forward(x, weight, bias, before, backend, shape, taps)[0]
    return _EventConvolution.apply(x, weight, bias, before, backend, shape, share)  # type: ignore[return-value]


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
        share: float,
    ) -> Tensor:
        ctx.backend, ctx.shape, ctx.share = backend, shape, share
        ctx.before = 0 if before is None else len(before)
        if share > DENSEST_FORWARD:
            ctx.save_for_backward(x.permute(0, 2, 3, 1).contiguous(), weight)
            out = torch.nn.functional.conv2d(x, weight, bias, shape.stride, shape.padding)
            return out if before is None else torch.cat([before, out])
        out, rows, binary = _forward(x, weight, bias, before, backend, shape, None)
        # One byte for each spike is enough for the backward pass.
        learns = ctx.needs_input_grad[1]
        ctx.save_for_backward(rows.to(torch.uint8) if binary and learns else rows, weight)
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
        if of_x:  # as dense as the gradient of the output
            # Only its shape and its order in memory are looked at.
            x = buffers.take(shape.images, *shape.size, shape.channels[0]).permute(0, 3, 1, 2)
            x_grad = torch.ops.aten.convolution_backward(
                grad, x, weight, None, shape.stride, shape.padding, (1, 1), False, (0, 0), 1,
                (True, False, False),
            )[0]  # fmt: skip
        if of_weight:
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
