"""The integrating neuron whose output is amplitude × whole number: one step, and the loop over all
steps."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from ....kernels.rules import SURROGATES
from ....kernels.rules import SurrogateName as Surrogate

Gradient = Literal["surrogate", "straight-through"]


class IntegrateOptions(NamedTuple):
    """Options of an integrating neuron that are not tensors.

    Attributes:
        most: m, the greatest number of spikes in a step.
        fraction: α, the part of the amplitude that the membrane must exceed for the first spike.
        leak: λ, factor of the membrane from step to step.
        gain: γ, factor of the input.
        gradient: how the number of spikes is differentiated.
        surrogate, alpha: of `surrogate`; the surrogate's default steepness if None.
    """

    most: int = 1
    fraction: float = 1.0
    leak: float = 1.0
    gain: float = 1.0
    gradient: Gradient = "surrogate"
    surrogate: Surrogate = "sigmoid"
    alpha: float | None = None


class IntegrateState(NamedTuple):
    """The state of an integrating neuron between two steps.

    Attributes:
        v: membrane `[B, ...]`; None, which stands for 0, before the first step.
    """

    v: Tensor | None


def integrate_step(
    x: Tensor, v: Tensor | None, amplitude: Tensor, options: IntegrateOptions
) -> tuple[Tensor, Tensor]:
    """Compute one step.

        v_t = λ v_{t-1} + γ x_t
        k_t = clip(⌈v_t / V - α⌉, 0, m)        the number of j < m with v_t > (α + j) V
        v_t ← v_t - V k_t

    Nothing is detached: gradients flow through the reset.

    Args:
        x: input `[B, ...]`.
        v: membrane before the step, same shape; None is 0.
        amplitude: V > 0, broadcast against `x`.
        options: α, m, λ, γ and the gradient.

    Returns:
        V k_t, and the membrane after the reset, both like `x`.

    With m = 1, α = 1, λ = γ = 1 it is the integrate-and-fire neuron with reset by subtraction.
    """
    v = (
        _scaled(x, options.gain)
        if v is None
        else _scaled(v, options.leak) + _scaled(x, options.gain)
    )
    out = amplitude * spike_count(v, amplitude, options)
    return out, v - out


def integrate_steps(x: Tensor, amplitude: Tensor, options: IntegrateOptions) -> Tensor:
    """Compute all T steps from rest: input `[T, B, ...]`, output V k `[T, B, ...]`."""
    v = None
    outputs = []
    for x_t in x.unbind(0):
        out, v = integrate_step(x_t, v, amplitude, options)
        outputs.append(out)
    return torch.stack(outputs) if outputs else torch.empty_like(x)


def spike_count(v: Tensor, amplitude: Tensor, options: IntegrateOptions) -> Tensor:
    """Return k = clip(⌈v / V - α⌉, 0, m), whole numbers in the shape and dtype of `v`.

    It is computed as ⌈(v - α V) / V⌉, as the export graph does: the sign of v - α V is exact, so
    that no rounding moves the first spike.

    Its gradient is one of
        surrogate           k = Σ_{j<m} H(v - (α + j) V), each H with the surrogate's derivative
        straight-through    that of clip(v / V - α, 0, m): the derivative of ⌈·⌉ is 1
    """
    if options.gradient == "straight-through":
        level = (v - options.fraction * amplitude) / amplitude
        return _Ceil.apply(level).clamp(0, options.most) + 0.0  # type: ignore[union-attr]
    default = SURROGATES[options.surrogate].alpha
    steepness = default if options.alpha is None else options.alpha
    return _Count.apply(  # type: ignore[return-value]
        v, amplitude, options.fraction, options.most, options.surrogate, steepness
    )


class _Ceil(Function):
    """⌈x⌉ with the derivative 1."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.ceil()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0]


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


def _scaled(values: Tensor, factor: float) -> Tensor:
    """Return a multiple; of factor 1 the tensor itself, without a copy."""
    return values if factor == 1 else factor * values
