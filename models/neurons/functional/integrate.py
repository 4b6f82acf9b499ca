"""The integrating neuron whose output is amplitude × whole number: one step, and the loop over all
steps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .count import IntegrateOptions, spike_count
from .representation import represented_steps


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

    Nothing is detached: gradients flow through the reset. With the gradient `none` no gradient
    flows at all, and nothing is kept for a backward pass.

    Args:
        x: input `[B, ...]`.
        v: membrane before the step, same shape; None is 0.
        amplitude: V > 0, broadcast against `x`.
        options: α, m, λ, γ and the gradient, which is not `representation`: that one is of all
            steps.

    Returns:
        V k_t, and the membrane after the reset, both like `x`.

    With m = 1, α = 1, λ = γ = 1 it is the integrate-and-fire neuron with reset by subtraction.
    """
    if options.gradient == "none":
        x, amplitude = x.detach(), amplitude.detach()
    v = (
        _scaled(x, options.gain)
        if v is None
        else _scaled(v, options.leak) + _scaled(x, options.gain)
    )
    out = amplitude * spike_count(v, amplitude, options)
    return out, v - out


def integrate_steps(x: Tensor, amplitude: Tensor, options: IntegrateOptions) -> Tensor:
    """Compute all T steps from rest: input `[T, B, ...]`, output V k `[T, B, ...]`."""
    if options.gradient == "representation":
        return represented_steps(x, amplitude, options)
    v = None
    outputs = []
    for x_t in x.unbind(0):
        out, v = integrate_step(x_t, v, amplitude, options)
        outputs.append(out)
    return torch.stack(outputs) if outputs else torch.empty_like(x)


def _scaled(values: Tensor, factor: float) -> Tensor:
    """Return a multiple; of factor 1 the tensor itself, without a copy."""
    return values if factor == 1 else factor * values
