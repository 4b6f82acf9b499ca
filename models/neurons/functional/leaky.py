"""The leaky integrate-and-fire neuron: one step, and the loop over all steps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ....kernels.rules import RESETS
from ....kernels.rules import ResetName as Reset
from ....kernels.rules import SurrogateName as Surrogate
from ..surrogates import drawn_spike, spike


class LeakyParameters(NamedTuple):
    """Parameters of a leaky neuron; schedules are `[T]` or, for each channel, `[T, C]`.

    Attributes:
        leak: factor of the membrane from step to step, a schedule.
        gain: factor of the input, a schedule.
        threshold: θ, a scalar.
        reset_size: r, a schedule; None to reset by the threshold.
    """

    leak: Tensor
    gain: Tensor
    threshold: Tensor
    reset_size: Tensor | None = None

    def at(self, t: int) -> LeakyParameters:
        """Return the parameters of step `t`."""
        size = None if self.reset_size is None else self.reset_size[t]
        return LeakyParameters(self.leak[t], self.gain[t], self.threshold, size)

    def shaped_for(self, dims: int, dtype: torch.dtype) -> LeakyParameters:
        """Return schedules that broadcast against `[B, C, ...]` with `dims` axes, in `dtype`."""

        def shaped(schedule: Tensor) -> Tensor:
            if schedule.dim() == 2:  # [T, C]: C is the axis after the batch
                schedule = schedule.view(*schedule.shape, *[1] * (dims - 2))
            return schedule.to(dtype)

        size = None if self.reset_size is None else shaped(self.reset_size)
        return LeakyParameters(shaped(self.leak), shaped(self.gain), self.threshold.to(dtype), size)


class LeakyOptions(NamedTuple):
    """Options of a leaky neuron that are not tensors.

    Attributes:
        reset: what a spike does to the membrane.
        surrogate, alpha: of the spike; the surrogate's default steepness if None.
        once: whether only the first spike is sent, see `first_spike`.
        kappa: κ of spikes that are drawn, see `drawn_spike`; None for spikes without noise.
    """

    reset: Reset = "subtract"
    surrogate: Surrogate = "sigmoid"
    alpha: float | None = None
    once: bool = False
    kappa: float | None = None


class LeakyState(NamedTuple):
    """The state of a leaky neuron between two steps.

    Attributes:
        v: membrane `[B, ...]`; None, which stands for 0, before the first step.
        step: index of the next step.
        fired: of neurons that fire once, 1 where one has fired, `[B, ...]`; None for 0, and of
            other neurons.
    """

    v: Tensor | None
    step: int
    fired: Tensor | None = None


def leaky_step(
    x: Tensor,
    v: Tensor | None,
    p: LeakyParameters,
    options: LeakyOptions,
    uniform: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute one step of the adaptive leaky integrate-and-fire neuron.

        v_t = leak_t v_{t-1} + gain_t x_t
        s_t = H(v_t - θ)                      with a reset size: H(v_t / r_t - θ)
        s_t = 1 with the probability σ(κ (v_t - θ))     where spikes are drawn
        v_t ← v_t - θ s_t                     reset `subtract`; with a reset size: v_t - r_t s_t
        v_t ← v_t (1 - s_t)                   reset `zero`

    Nothing is detached: gradients flow through the reset. Option `once` is not part of the step:
    `first_spike` takes its spikes.

    Args:
        x: input `[B, ...]`.
        v: membrane before the step, same shape; None is 0.
        p: parameters of this step, broadcast against `x`.
        options: reset rule and surrogate.
        uniform: numbers in [0, 1), like `x`, where spikes are drawn.

    Returns:
        Spikes (0/1) and the membrane after the reset, both like `x`.

    Source: arXiv 2408.12407; the reset size is that of the author's detector
    (github.com/hhx0320/3D-SPIKING-YOLO).
    """
    v = p.gain * x if v is None else p.leak * v + p.gain * x
    scaled = v if p.reset_size is None else v / p.reset_size
    if options.kappa is None:
        s = spike(scaled - p.threshold, options.surrogate, options.alpha)
    else:
        assert uniform is not None, "spikes that are drawn need random numbers"
        s = drawn_spike(scaled - p.threshold, uniform, options.kappa)
    size = p.threshold if p.reset_size is None else p.reset_size
    return s, RESETS[options.reset].formula(v, s, size)


def membranes(x: Tensor, spikes: Tensor, p: LeakyParameters, options: LeakyOptions) -> Tensor:
    """Return v_t before the reset of each step, of spikes that are given, see `leaky_step`.

    Args:
        x, p, options: as of `leaky_steps`.
        spikes: s, like `x`: what the neuron sent for this input, or anything else.
    """
    v, found = None, []
    for t, (x_t, s_t) in enumerate(zip(x.unbind(0), spikes.unbind(0), strict=True)):
        now = p.at(t)
        v = now.gain * x_t if v is None else now.leak * v + now.gain * x_t
        found.append(v)
        size = now.threshold if now.reset_size is None else now.reset_size
        v = RESETS[options.reset].formula(v, s_t, size)
    return torch.stack(found) if found else torch.empty_like(x)


def first_spike(s: Tensor, fired: Tensor | None) -> tuple[Tensor, Tensor]:
    """Keep the spikes of neurons that have not fired before.

        o_t = s_t (1 - f_{t-1})        f_t = f_{t-1} + o_t,   f_0 = 0

    No gradient flows through f. A neuron that has fired is silent for good, so neither its
    membrane nor its reset matters any more.

    Args:
        s: spikes of a step (0/1).
        fired: f before the step, like `s`; None is 0.

    Returns:
        The spikes o that are sent, and f after the step.

    Source: arXiv 2107.12374 (neurons that fire at most once an image).
    """
    if fired is not None:
        s = s * (1 - fired)
    sent = s.detach()
    return s, sent if fired is None else fired + sent


def leaky_steps(
    x: Tensor, p: LeakyParameters, options: LeakyOptions, uniforms: Tensor | None = None
) -> Tensor:
    """Compute all T steps from rest: input `[T, B, ...]`, spikes `[T, B, ...]`.

    Args:
        x, p, options: as of `leaky_step`, for all steps.
        uniforms: `[T, B, ...]` where spikes are drawn.
    """
    v = fired = None
    spikes = []
    for t, x_t in enumerate(x.unbind(0)):  # its backward is one stack, that of x[t] T paddings
        uniform = None if uniforms is None else uniforms[t]
        s, v = leaky_step(x_t, v, p.at(t), options, uniform)
        if options.once:
            s, fired = first_spike(s, fired)
        spikes.append(s)
    return torch.stack(spikes) if spikes else torch.empty_like(x)
