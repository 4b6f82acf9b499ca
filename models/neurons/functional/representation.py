"""All steps of integrating neurons, differentiated as what their spike trains represent."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .count import IntegrateOptions


def represented_steps(x: Tensor, amplitude: Tensor, options: IntegrateOptions) -> Tensor:
    """Compute all T steps from rest; gradients are those of the representation.

    Forward it is `integrate_step` with m = 1. The weighted means of input and output,

        x̄ = Σ_t w_t x_t,   r = Σ_t w_t out_t,   w_t ∝ λ^(T-1-t),   Σ_t w_t = 1,

    approach r = clip(c x̄, 0, V) as T grows. With G = T Σ_t w_t ∂L/∂out_t the gradients are

        ∂L/∂x_t = c / T · G   where 0 ≤ c x̄ ≤ V        (λ < 1: where 0 < c x̄ < V), else 0
        ∂L/∂V   = d Σ G       over c x̄ > V             (λ < 1: over c x̄ ≥ V)

    with c = `slope(options)` and d = `threshold_scale(options)`. For the backward pass one byte is
    kept for each neuron, whatever T.

    Args:
        x: input `[T, B, ...]`.
        amplitude: V > 0, broadcast against a step of `x`.
        options: α, λ, γ and how V is differentiated; m is 1.

    Returns:
        V k `[T, B, ...]`.

    Source: Meng et al., arXiv 2205.00459 (CVPR 2022), and the published code.
    """
    return _Represented.apply(x, amplitude, options)  # type: ignore[return-value]


def slope(options: IntegrateOptions) -> float:
    """Return c, the slope of the representation: γ ln(1/λ) / (1 - λ), and γ for λ = 1.

    It is 1/τ of the membrane τ dv/dt = -v + x that λ = e^(-dt/τ), γ = (1 - λ)/dt samples.
    """
    leak = options.leak
    return options.gain if leak == 1 else options.gain * -math.log(leak) / (1 - leak)


def threshold_scale(options: IntegrateOptions) -> float:
    """Return d, the factor of ∂L/∂V: 1 if `exact`; if `scaled`, dt² with dt = (1 - λ)/γ.

    The published threshold is V dt, of which the derivative is 1/dt; the published code has dt.
    Without a leak there is no dt, and `scaled` is exact, as it is published.
    """
    if options.threshold_gradient == "exact" or options.leak == 1:
        return 1.0
    return ((1 - options.leak) / options.gain) ** 2


def decayed_mean(values: Tensor, leak: float) -> Tensor:
    """Return Σ_t w_t values_t of `[T, B, ...]`, with w_t ∝ λ^(T-1-t) and Σ_t w_t = 1."""
    if values.stride(0) == 0:  # every step is the same
        return values[0]
    if leak == 1:
        return values.mean(0)
    total, weight = torch.zeros_like(values[0]), 0.0
    for step in values:
        total, weight = leak * total + step, leak * weight + 1
    return total / weight


def fire(x: Tensor, outputs: Tensor, amplitude: Tensor, options: IntegrateOptions) -> Tensor:
    """Write the output of all T steps from rest to `outputs` `[T, B, ...]`, and return it.

    Args:
        x: input `[T, B, ...]`, or `[1, B, ...]` if it is the same at every step; `outputs` may be
            the same tensor.
        outputs: of the dtype of `x`.
        amplitude, options: of the neurons.
    """
    threshold = options.fraction * amplitude
    v = torch.zeros_like(x[0]) if len(x) else None
    for x_t, out in zip(x.expand(outputs.shape), outputs, strict=True):
        assert v is not None
        if options.leak != 1:
            v.mul_(options.leak)
        v.add_(x_t if options.gain == 1 else options.gain * x_t)
        # In place: a spike is one pass over the membrane, a product and a difference.
        torch.gt(v, threshold, out=out)
        v.sub_(out.mul_(amplitude))
    return outputs


INSIDE, ABOVE = 0, 1


def region(x: Tensor, amplitude: Tensor, options: IntegrateOptions) -> Tensor:
    """Return where c x̄ is, for each neuron: below 0, inside, or above V (int8: -1, 0, 1)."""
    mean = slope(options) * decayed_mean(x, options.leak)
    if options.leak == 1:
        below, above = mean < 0, mean > amplitude
    else:  # a border belongs to the outside
        below, above = mean <= 0, mean >= amplitude
    return above.to(torch.int8) - below.to(torch.int8)


def input_gradient(mean: Tensor, where: Tensor, options: IntegrateOptions) -> Tensor:
    """Return ∂L/∂x_t `[B, ...]`, which is the same at every step.

    Args:
        mean: Σ_t w_t ∂L/∂out_t, which is G / T.
        where: the `region` of each neuron.
        options: of the neurons.
    """
    return (slope(options) * mean).masked_fill_(where != INSIDE, 0.0)


def amplitude_gradient(
    mean: Tensor, where: Tensor, options: IntegrateOptions, *, steps: int, shape: torch.Size
) -> Tensor:
    """Return ∂L/∂V in the shape of V; the other arguments are those of `input_gradient`."""
    total = mean.masked_fill(where != ABOVE, 0.0).sum_to_size(shape)
    return threshold_scale(options) * steps * total


class _Represented(Function):
    """The spikes, with the gradients of the representation."""

    @staticmethod
    def forward(x: Tensor, amplitude: Tensor, options: IntegrateOptions) -> Tensor:
        return fire(x, torch.empty_like(x), amplitude, options)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, amplitude, options = inputs
        ctx.options, ctx.steps, ctx.shape = options, len(x), amplitude.shape
        if len(x) and any(ctx.needs_input_grad[:2]):
            ctx.save_for_backward(region(x, amplitude, options))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        options, steps, of_x, of_amplitude = ctx.options, ctx.steps, None, None
        if not steps:
            return grads[0], grads[0].new_zeros(ctx.shape), None
        (where,) = ctx.saved_tensors
        mean = decayed_mean(grads[0], options.leak)
        if ctx.needs_input_grad[0]:
            of_step = input_gradient(mean, where, options)
            of_x = of_step.expand(steps, *of_step.shape)
        if ctx.needs_input_grad[1]:
            of_amplitude = amplitude_gradient(mean, where, options, steps=steps, shape=ctx.shape)
        return of_x, of_amplitude, None
