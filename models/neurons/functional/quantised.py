"""A ReLU that is clipped and quantised, with a straight-through gradient."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function


def quantised_relu(x: Tensor, scale: Tensor, levels: int) -> Tensor:
    """Return a(x) = s clip(k / L, 0, 1) with k = ⌊x L / s + 1/2⌋.

    ⌊·⌋ has the derivative 1, so that

        ∂a/∂x = 1 where 0 ≤ k ≤ L, else 0
        ∂a/∂s = (a - x) / s where 0 ≤ k ≤ L; 0 where k < 0; 1 where k > L

    Args:
        x: input.
        scale: s > 0, broadcast against `x`.
        levels: L ≥ 1.

    Source: Bu et al., ICLR 2022 (arXiv 2303.04347). Published code has two orders: clip before
    floor, where gradients end at 0 and s, and floor before clip as here, where they pass half a
    level further, to all x that are rounded to 0 or s.
    """
    return _Quantised.apply(x, scale, levels)  # type: ignore[return-value]


class _Quantised(Function):
    """The quantised activation; only the input is kept for the backward pass."""

    @staticmethod
    def forward(x: Tensor, scale: Tensor, levels: int) -> Tensor:
        return _level(x, scale, levels).clamp_(0, levels).mul_(scale / levels)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, scale, ctx.levels = inputs
        ctx.save_for_backward(x, scale)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, scale = ctx.saved_tensors
        level = _level(x, scale, ctx.levels)
        inside = (level >= 0) & (level <= ctx.levels)
        of_x = grads[0] * inside
        of_scale = None
        if ctx.needs_input_grad[1]:
            slope = (level / ctx.levels - x / scale) * inside + (level > ctx.levels)
            of_scale = (grads[0] * slope).sum_to_size(scale.shape)
        return of_x, of_scale, None


def level_of(x: Tensor, scale: Tensor, levels: int) -> Tensor:
    """Return the level clip(⌊x L / s + 1/2⌋, 0, L), without a gradient.

    Args:
        x, scale, levels: as of `quantised_relu`.
    """
    return _level(x.detach(), scale.detach(), levels).clamp_(0, levels)


def _level(x: Tensor, scale: Tensor, levels: int) -> Tensor:
    """Return ⌊x L / s + 1/2⌋."""
    return (x * (levels / scale)).add_(0.5).floor_()
