"""One step of the neurons of NIR."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..neurons.functional.rounding import straight_floor
from ..neurons.surrogates import spike


class EulerParameters(NamedTuple):
    """A neuron in discrete time; tensors broadcast against its input `[B, ...]`.

    Attributes:
        leak, gain: of the membrane, 1 - dt/τ and r dt/τ; of I and IF 1 and r dt. With a synaptic
            current the gain is w_in dt/τ_syn times as much.
        drive: v_leak dt/τ; None where that is 0.
        threshold: None of a neuron without spikes.
        reset: v_reset; None where a spike acts in the next step, by the threshold or `to_zero`.
        start: the membrane before the first step; None for 0.
        synapse: 1 - dt/τ_syn of the synaptic current, in units of w_in dt/τ_syn; None without one.
        to_zero: whether the membrane is 0 in the step after a spike.
        several: whether a step sends ⌊v / threshold⌋ spikes, each of which takes the threshold off.
        fires_at_threshold: whether v = threshold is a spike.
        surrogate: of the derivative of a spike.
    """

    leak: Tensor
    gain: Tensor
    drive: Tensor | None = None
    threshold: Tensor | None = None
    reset: Tensor | None = None
    start: Tensor | None = None
    synapse: Tensor | None = None
    to_zero: bool = False
    several: bool = False
    fires_at_threshold: bool = False
    surrogate: str = "sigmoid"

    @property
    def states(self) -> tuple[str, ...]:
        """The states of a step, 0 before the first: current, membrane without its start, and spikes
        where the next step resets by them."""
        current = () if self.synapse is None else ("i",)
        late = self.threshold is not None and self.reset is None and not self.several
        return (*current, "v", *(("s",) if late else ()))


def euler_step(x: Tensor, states: tuple[Tensor, ...], p: EulerParameters) -> tuple[Tensor, ...]:
    """Return the output of a step and the states after it.

        i_t = synapse i_{t-1} + x_t                        and i_t instead of x_t, with a current
        v_t = leak v_{t-1} + gain x_t + drive              the output, without a threshold
        s_t = H(v_t - threshold)
        v_t ← v_t + (reset - v_t) s_t

    Without `reset`, v_t - threshold s_{t-1} takes the place of v_t, or v_t (1 - s_{t-1}). With
    `several` s_t = ⌊v_t / threshold⌋, at least 0, and v_t ← v_t - threshold s_t.

    Args:
        x: input `[B, ...]`.
        states: as `p.states` names them.
        p: the parameters.
    """
    after: list[Tensor] = []
    if p.synapse is not None:
        i, *states = states  # type: ignore[assignment]
        x = p.synapse * i + x
        after.append(x)
    v = states[0] if p.start is None else states[0] + p.start
    v = p.leak * v + p.gain * x
    if p.drive is not None:
        v = v + p.drive
    if p.threshold is None:
        return (v, *after, v if p.start is None else v - p.start)
    if p.several:
        s = straight_floor(v / p.threshold).clamp(min=0)
        v = v - s * p.threshold
        return (s, *after, v if p.start is None else v - p.start)
    if p.reset is None:
        before = states[1]
        v = v * (1 - before) if p.to_zero else v - before * p.threshold
    if p.fires_at_threshold:
        s = 1 - spike(p.threshold - v, p.surrogate)
    else:
        s = spike(v - p.threshold, p.surrogate)
    if p.reset is None:
        return (s, *after, v, s)
    v = v * (1 - s) + p.reset * s
    return (s, *after, v if p.start is None else v - p.start)


def euler_steps(x: Tensor, p: EulerParameters) -> Tensor:
    """Return the output of all steps from rest, `[T, B, ...]`, for an input `[T, B, ...]`."""
    states: tuple[Tensor, ...] = tuple(torch.zeros_like(x[0]) for _ in p.states) if len(x) else ()
    found = []
    for x_t in x.unbind(0):
        y, *states = euler_step(x_t, states, p)  # type: ignore[assignment]
        found.append(y)
    return torch.stack(found) if found else torch.empty_like(x)
