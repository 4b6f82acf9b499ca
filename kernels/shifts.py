"""The sums of a convolution over time, which adds up values of other steps.

Of rows z `[T, R, K, C]`, K taps that each give to another step, the sums are

    y_t = Σ_k z_{t + offset_k}[k]        over the steps within 0..T-1

and their gradient is ∂L/∂z_t[k] = ∂L/∂y_{t - offset_k}, 0 outside. Where all steps of z are one,
`[1, R, K, C]`, the sums are those of that step, and its gradient adds up those of its outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .memory import buffers


def shifted_sums(z: Tensor, steps: int, offsets: Sequence[int], kernels: Any) -> Tensor:
    """Return the sums `[T, R, C]` of contiguous rows `[T, R, K, C]`, or `[1, R, K, C]`.

    Args:
        z: float32.
        steps: T.
        offsets: of the K taps.
        kernels: the backend.
    """
    return _ShiftedSums.apply(z, steps, tuple(offsets), kernels)  # type: ignore[return-value]


class _ShiftedSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, steps: int, offsets: tuple[int, ...], kernels: Any) -> Tensor:
        ctx.shape, ctx.offsets, ctx.kernels = z.shape, offsets, kernels
        given, rows, taps, channels = z.shape
        out = buffers.take(steps, rows, channels)
        step = 0 if given == 1 else rows * taps * channels
        terms = [
            [
                (t + offset) * step + k * channels
                for k, offset in enumerate(offsets)
                if 0 <= t + offset < steps
            ]
            for t in range(steps)
        ]
        places = [t * rows * channels for t in range(steps)]
        kernels.sum_rows(z, out, places, terms, rows, channels, strides=(taps * channels, channels))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        grad = grads[0].contiguous()
        steps = len(grad)
        given, rows, taps, channels = ctx.shape
        out = buffers.take(*ctx.shape)
        places, terms = [], []
        for s in range(given):
            for k, offset in enumerate(ctx.offsets):
                inputs = range(steps) if given == 1 else [s]
                found = [t - offset for t in inputs if 0 <= t - offset < steps]
                places.append((s * rows * taps + k) * channels)
                terms.append([t * rows * channels for t in found])
        ctx.kernels.sum_rows(
            grad, out, places, terms, rows, channels, strides=(channels, taps * channels)
        )
        return out, None, None, None
