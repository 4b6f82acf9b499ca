"""The membranes of snnTorch's neurons, as the elementwise step that snnTorch computes.

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

from torch import Tensor

from ..graph import ir as g
from ..graph.equations import traced

Reset = str  # `subtract`, `zero` or `none`


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

    currents = ("a", "b")

    @property
    def reads_spikes(self) -> bool:
        return self.reset != "none"

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


def spikes_node(
    name: str, source: str, membrane: Membrane | AlphaMembrane, recurrent: Tensor | None = None
) -> g.Cell:
    """Return a neuron with this membrane, for one step; `recurrent` as of `graph.ir.Neuron`."""

    def step(x: Any, *states: Any) -> tuple[Any, ...]:
        s, v, currents = split(states)
        u, *after = membrane.step(x, s, v, *currents)
        fires = u > membrane.threshold
        return fires, *([fires] * with_spikes), membrane.after(u, fires), *after

    with_spikes, names, split = _states(membrane, recurrent)
    return traced(g.Cell, name, (source,), step, names, {}, 1, recurrent)


def membrane_node(
    name: str,
    source: str,
    spikes: str,
    membrane: Membrane | AlphaMembrane,
    recurrent: Tensor | None = None,
) -> g.Dynamics:
    """Return the membrane that a neuron leaves after each step, for one step.

    Args:
        name: of the node.
        source: what the neuron reads.
        spikes: the node with its spikes.
        membrane: its equations.
        recurrent: as of `graph.ir.Neuron`.
    """

    def step(x: Any, fires: Any, *states: Any) -> tuple[Any, ...]:
        s, v, currents = split(states)
        u, *after = membrane.step(x, s, v, *currents)
        left = membrane.after(u, fires)
        return left, *([fires] * with_spikes), left, *after

    with_spikes, names, split = _states(membrane, recurrent)
    return traced(g.Dynamics, name, (source, spikes), step, names, {}, 1, recurrent)


def _states(
    membrane: Membrane | AlphaMembrane, recurrent: Tensor | None
) -> tuple[bool, tuple[str, ...], Callable[[tuple[Any, ...]], tuple[Any, Any, tuple[Any, ...]]]]:
    """Return whether `s` is a state, the names of the states, and what splits them into s, v and
    currents."""
    with_spikes = recurrent is not None or membrane.reads_spikes
    names = (*(("s",) if with_spikes else ()), "v", *membrane.currents)

    def split(states: tuple[Any, ...]) -> tuple[Any, Any, tuple[Any, ...]]:
        s, v, *currents = states if with_spikes else (None, *states)
        return s, v, tuple(currents)

    return with_spikes, names, split
