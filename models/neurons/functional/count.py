"""The number of spikes of an integrating neuron in one step, and its gradients."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from ....kernels.rules import SURROGATES
from ....kernels.rules import SurrogateName as Surrogate
from .rounding import straight_ceil

Gradient = Literal["surrogate", "triangle", "straight-through", "representation", "none"]
ThresholdGradient = Literal["scaled", "exact"]


class IntegrateOptions(NamedTuple):
    """Options of an integrating neuron that are not tensors.

    Attributes:
        most: m, the greatest number of spikes in a step.
        fraction: α, the part of the amplitude that the membrane must exceed for the first spike.
        leak: λ, factor of the membrane from step to step.
        gain: γ, factor of the input.
        gradient: how the number of spikes is differentiated.
        surrogate, alpha: of `surrogate`; the surrogate's default steepness if None.
        threshold_gradient: of `representation`, see `represented_steps`.
    """

    most: int = 1
    fraction: float = 1.0
    leak: float = 1.0
    gain: float = 1.0
    gradient: Gradient = "surrogate"
    surrogate: Surrogate = "sigmoid"
    alpha: float | None = None
    threshold_gradient: ThresholdGradient = "scaled"


def spike_count(v: Tensor, amplitude: Tensor, options: IntegrateOptions) -> Tensor:
    """Return k = clip(⌈v / V - α⌉, 0, m), whole numbers in the shape and dtype of `v`.

    It is computed as ⌈(v - α V) / V⌉, as the export graph does: the sign of v - α V is exact, so
    that no rounding moves the first spike.

    Its gradient is one of
        surrogate           k = Σ_{j<m} H(v - (α + j) V), each H with the surrogate's derivative
        triangle            k = Σ_{j<m} H(u - j) with u = v / V - α, each H with max(0, 1 - |u - j|)
        straight-through    that of clip(v / V - α, 0, m): the derivative of ⌈·⌉ is 1
    and with `representation` there is none: it is that of all steps (`represented_steps`). With
    `none` the step has none either (`integrate_step`).
    """
    if options.gradient in ("straight-through", "triangle"):
        level = (v - options.fraction * amplitude) / amplitude
        if options.gradient == "triangle":
            return _Steps.apply(level, options.most)  # type: ignore[return-value]
        return straight_ceil(level).clamp(0, options.most) + 0.0
    if options.gradient == "representation":
        v, amplitude = v.detach(), amplitude.detach()
    default = SURROGATES[options.surrogate].alpha
    steepness = default if options.alpha is None else options.alpha
    return _Count.apply(  # type: ignore[return-value]
        v, amplitude, options.fraction, options.most, options.surrogate, steepness
    )


class _Steps(Function):
    """clip(⌈u⌉, 0, m), differentiated as the sum of m triangles of height 1 and width 2."""

    @staticmethod
    def forward(level: Tensor, most: int) -> Tensor:
        return level.ceil().clamp_(0, most).add_(0.0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        level, ctx.most = inputs
        ctx.save_for_backward(level)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (level,) = ctx.saved_tensors
        slope = torch.zeros_like(level)
        for j in range(ctx.most):
            slope += (1 - (level - j).abs()).clamp_(min=0)
        return grads[0] * slope, None


class _Count(Function):
    """The number of spikes, differentiated as the sum of m surrogates."""

    @staticmethod
    def forward(
        v: Tensor, amplitude: Tensor, fraction: float, most: int, surrogate: str, alpha: float
    ) -> Tensor:
        # 0.0 is added because ⌈-0.3⌉ is -0.0.
        return (v - fraction * amplitude).div_(amplitude).ceil_().clamp_(0, most).add_(0.0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        v, amplitude, ctx.fraction, ctx.most, ctx.surrogate, ctx.alpha = inputs
        ctx.save_for_backward(v, amplitude)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        v, amplitude = ctx.saved_tensors
        formula = SURROGATES[ctx.surrogate].formula
        of_v = torch.zeros_like(v)
        of_amplitude = torch.zeros_like(v) if ctx.needs_input_grad[1] else None
        for j in range(ctx.most):
            level = ctx.fraction + j
            slope = formula(v - level * amplitude, ctx.alpha)
            of_v += slope
            if of_amplitude is not None:
                of_amplitude -= level * slope
        if of_amplitude is not None:
            of_amplitude = (grads[0] * of_amplitude).sum_to_size(amplitude.shape)
        return grads[0] * of_v, of_amplitude, None, None, None, None
