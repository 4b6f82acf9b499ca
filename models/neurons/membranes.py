"""The membranes of snnTorch's neurons, as elementwise steps.

With α the decay of a synaptic current, V a weight of each neuron's own spikes, θ the threshold, and
s_t = H(u_t - θ), a step of all kinds but `Alpha` computes from rest

    i_t = α i_{t-1} + gain x_t + V s_{t-1}          of kinds without a current, α = 0
    u_t = β v_{t-1} + i_t

and resets, with the spikes of the step before (`delayed`) or at once:

    delayed     v_t = u_t ← u_t - θ s_{t-1}                 subtract
                v_t = u_t ← (1 - s_{t-1}) u_t               zero
                v_t = u_t ← β (1 - s_{t-1}) v_{t-1} + x_t   zero, of `Leaky` alone
    at once     v_t = u_t - θ s_t                           subtract
                v_t = (1 - s_t) u_t                         zero

`Alpha` has two currents and no leak. With τ = ln α / (ln β - ln α) + 1,

    a_t = α a_{t-1} + x_t,   b_t = β b_{t-1} - x_t,   u_t = τ (a_t + b_t)
    a_t ← a_t - θ s_{t-1},   b_t ← (1 - s_{t-1}) b_t,   u_t ← u_t + s_{t-1} b_{t-1}     subtract
    a_t, b_t, u_t ← (1 - s_{t-1}) (a_t, b_t, u_t)                                       zero
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...kernels.rules import ResetName as Reset

RESETS: tuple[Reset, ...] = ("subtract", "zero", "none")  # by the codes of snnTorch
CURRENTS = ("Synaptic", "RSynaptic")
AT_ONCE = ("Leaky", "Synaptic", "RLeaky")  # whose reset_delay=False resets in the step of a spike
# Replaces a leak of 0 under a delayed reset: its share of a membrane is lost in rounding, and a
# power of two scales the size of the reset exactly.
MIN_LEAK = 2.0**-40

Step = Callable[..., tuple[Any, ...]]


@dataclass(frozen=True)
class Membrane:
    """A membrane; parameters broadcast against a sample.

    Attributes:
        leak: β.
        threshold: θ.
        reset: `subtract`, `zero` or `none`.
        gain: of the input.
        synapse: α; None without a current.
        own: V; None without.
        delayed: whether a spike resets in the next step.
        clears_input: whether the delayed reset to zero discards the input of its step too.
    """

    leak: Tensor
    threshold: Tensor
    reset: Reset
    gain: Tensor | None = None
    synapse: Tensor | None = None
    own: Tensor | None = None
    delayed: bool = True
    clears_input: bool = True

    @property
    def currents(self) -> tuple[str, ...]:
        """The names of the states beside the membrane `v` and the spikes `s`."""
        return () if self.synapse is None else ("i",)

    @property
    def reads_spikes(self) -> bool:
        """Whether a step reads the spikes of the step before."""
        return self.own is not None or (self.delayed and self.reset != "none")

    def neuron_fields(self) -> dict[str, Any] | None:
        """Return leak, gain, threshold, size and reset of the export graph's `Neuron`, which resets
        at once and multiplies the rest with the leak; None if none computes the same.

            subtract, delayed      of size (θ - V) / β, for every membrane
            subtract, at once      of size θ - V / β
            none                   of size -V / β, if there is a V
            zero                   of `Leaky`, and of all kinds at once
        """
        reset, leak, size = self.reset, self.leak, self.threshold
        if reset == "zero" and (self.own is not None or (self.delayed and self.clears_input)):
            return None
        if self.own is not None and self.synapse is not None:  # spikes feed the current
            return None
        if reset == "subtract" or self.own is not None:
            late = torch.zeros_like(size) if self.own is None else -self.own
            if reset == "subtract" and self.delayed:
                late = late + self.threshold
            leak, late = torch.broadcast_tensors(leak, late)
            if bool((late != 0).any()):
                sign = late.sign()
                leak, late = delayed_subtraction(leak, late.abs())
                late = late * sign
                at_once = reset == "subtract" and not self.delayed
                size = size + late if at_once else late
            reset = "subtract"
        gain = torch.ones_like(leak) if self.gain is None else self.gain
        fields = {"leak": leak, "gain": gain, "threshold": self.threshold, "size": size}
        return {**fields, "reset": reset}

    def step(self, x: Any, s: Any, v: Any, *currents: Any) -> tuple[Any, ...]:
        """Return u and the currents of a step, before a reset at once."""
        if self.gain is not None:
            x = self.gain * x
        if self.own is not None:
            x = x + self.own * s
        if self.synapse is not None:
            x = self.synapse * currents[0] + x
        after = () if self.synapse is None else (x,)
        if not self.delayed or self.reset == "none":
            return self.leak * v + x, *after
        if self.reset == "subtract":
            return self.leak * v + x - self.threshold * s, *after
        if self.clears_input:
            return (1 - s) * (self.leak * v + x), *after
        return self.leak * ((1 - s) * v) + x, *after

    def after(self, u: Any, s: Any) -> Any:
        """Return the membrane that a step leaves, of u and the spikes of the step."""
        if self.delayed or self.reset == "none":
            return u
        return u - self.threshold * s if self.reset == "subtract" else (1 - s) * u


@dataclass(frozen=True)
class AlphaMembrane:
    """The membrane of `Alpha`.

    Attributes:
        excitatory, inhibitory: α and β.
        scale: τ.
        threshold, reset: as of `Membrane`.
    """

    excitatory: Tensor
    inhibitory: Tensor
    scale: Tensor
    threshold: Tensor
    reset: Reset

    synapse = None
    own = None
    currents = ("a", "b")

    @property
    def reads_spikes(self) -> bool:
        return self.reset != "none"

    def neuron_fields(self) -> None:
        return None

    def step(self, x: Any, s: Any, v: Any, *currents: Any) -> tuple[Any, ...]:
        before = currents[1]
        a = self.excitatory * currents[0] + x
        b = self.inhibitory * before - x
        u = self.scale * (a + b)
        if self.reset == "subtract":
            return u + s * before, a - self.threshold * s, (1 - s) * b
        if self.reset == "zero":
            return (1 - s) * u, (1 - s) * a, (1 - s) * b
        return u, a, b

    def after(self, u: Any, s: Any) -> Any:
        return u


def membrane_of(neuron: Any, value: Callable[[str, Tensor], Tensor]) -> Membrane | AlphaMembrane:
    """Return the membrane of a neuron of snnTorch (1.0.0).

    Args:
        neuron: a `Leaky`, `Lapicque`, `Synaptic`, `Alpha`, `RLeaky` or `RSynaptic`.
        value: from the name of a parameter and its values to those that broadcast against a sample.
    """
    kind = type(neuron).__name__
    reset = RESETS[int(neuron.reset_mechanism_val)]
    threshold = value("threshold", neuron.threshold)
    if kind == "Alpha":
        alpha, beta = (value(key, getattr(neuron, key)).clamp(0, 1) for key in ("alpha", "beta"))
        scale = alpha.log() / (beta.log() - alpha.log()) + 1
        return AlphaMembrane(alpha, beta, scale, threshold, reset)
    gain = synapse = own = None
    if kind == "Lapicque":
        rate = neuron.time_step / (neuron.R * neuron.C)
        leak, gain = value("R or C", 1 - rate), value("R or C", neuron.R * rate)
    else:
        leak = value("beta", neuron.beta).clamp(0, 1)
    if kind in CURRENTS:
        synapse = value("alpha", neuron.alpha).clamp(0, 1)
    if not getattr(neuron, "all_to_all", True):
        own = value("V", neuron.recurrent.V)
    return Membrane(
        leak=leak,
        threshold=threshold,
        reset=reset,
        gain=gain,
        synapse=synapse,
        own=own,
        delayed=kind not in AT_ONCE or neuron.reset_delay,
        clears_input=kind != "Leaky",
    )


def has_condition(neuron: Any) -> bool:
    """Return whether the export graph's `Neuron` computes the same only while no membrane stays
    above its threshold after its reset.

    With the reset by subtraction at once, snnTorch (1.0.0) subtracts θ of such a membrane in the
    next step before it compares, and adds it again if the neuron does not fire.
    """
    at_once = type(neuron).__name__ in AT_ONCE and not neuron.reset_delay
    return at_once and RESETS[int(neuron.reset_mechanism_val)] == "subtract"


def spiking_step(
    membrane: Membrane | AlphaMembrane, *, reads_spikes: bool = False
) -> tuple[tuple[str, ...], Step]:
    """Return the names of the states, and `step(x, *states) -> (spikes, *states)`.

    Args:
        membrane: of the neuron.
        reads_spikes: whether the spikes of the step before, `s`, are a state in any case.
    """
    with_spikes = reads_spikes or membrane.reads_spikes

    def step(x: Any, *states: Any) -> tuple[Any, ...]:
        s, v, *currents = states if with_spikes else (None, *states)
        u, *after = membrane.step(x, s, v, *currents)
        fires = u > membrane.threshold
        return fires, *([fires] * with_spikes), membrane.after(u, fires), *after

    return _states(membrane, with_spikes), step


def membrane_step(
    membrane: Membrane | AlphaMembrane, *, reads_spikes: bool = False
) -> tuple[tuple[str, ...], Step]:
    """Return the names of the states, and `step(x, spikes, *states) -> (membrane, *states)`: what
    the spikes of a step leave; see `spiking_step`."""
    with_spikes = reads_spikes or membrane.reads_spikes

    def step(x: Any, fires: Any, *states: Any) -> tuple[Any, ...]:
        s, v, *currents = states if with_spikes else (None, *states)
        u, *after = membrane.step(x, s, v, *currents)
        left = membrane.after(u, fires)
        return left, *([fires] * with_spikes), left, *after

    return _states(membrane, with_spikes), step


def delayed_subtraction(leak: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
    """Return leak and size of a reset at once that equals a reset in the next step.

    v_t = β v_{t-1} + x_t - θ s_{t-1} is β (v_{t-1} - size s_{t-1}) + x_t for size = θ / β.
    """
    silent = leak.abs() < MIN_LEAK
    leak = torch.where(silent & (threshold > 0), torch.full_like(leak, MIN_LEAK), leak)
    return leak, torch.where(threshold > 0, threshold / leak, torch.zeros_like(leak))


def _states(membrane: Membrane | AlphaMembrane, with_spikes: bool) -> tuple[str, ...]:
    return (*(("s",) if with_spikes else ()), "v", *membrane.currents)
