"""What a NIR file leaves open, and how the simulator that wrote it fills it in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...core.registry import unknown


@dataclass(frozen=True, kw_only=True)
class Semantics:
    """How the neurons of a file are computed, where simulators differ.

    Attributes:
        reset: what a spike does to the membrane. `value`: v ← v_reset in the same step;
            `subtract`: the next step takes v_threshold off, after its leak; `zero`: in the next
            step v is 0, its input included, but a LIF outside of loops does as with `value`;
            `threshold`: each spike takes v_threshold off in the same step.
        several: whether a step sends ⌊v / v_threshold⌋ spikes, not one.
        exponential: whether states decay by exp(-dt/τ), and their input is weighed with the rest.
        decays_input: whether the input of a current, or of LI, decays in its own step already; r
            and w_in do not count then.
        writes: the types of neurons that the simulator writes; None for all.
        fires_at_threshold: whether v = v_threshold is enough for a spike.
        start: the membrane before the first step: `zero`, or the neuron's `v_reset` or `v_leak`.
        scaled_times: whether the file holds τ dt instead of τ.
        unit_input: whether the input of IF, and of a synaptic current, is taken as it is, without
            dt and τ_syn.
        r_of_if: whether r of IF is 1 / dt, so that it says what dt is.
        recurrent_bias: whether the bias of a loop is there in the first step, when nothing has been
            sent through the loop yet.
        dt: that the simulator writes every file with, in seconds; None if it can be chosen.
    """

    reset: Literal["value", "subtract", "zero", "threshold"] = "value"
    several: bool = False
    exponential: bool = False
    decays_input: bool = False
    writes: tuple[str, ...] | None = None
    fires_at_threshold: bool = False
    start: Literal["zero", "v_reset", "v_leak"] = "zero"
    scaled_times: bool = False
    unit_input: bool = False
    r_of_if: bool = False
    recurrent_bias: bool = False
    dt: float | None = None


SEMANTICS = {
    # The equations of the format in discrete time, by forward Euler, from 0.
    "nir": Semantics(),
    # By their `reset_mechanism`, which files do not state: "subtract", the default, or "zero".
    "snntorch": Semantics(reset="subtract", recurrent_bias=True, dt=1e-4),
    "snntorch-zero": Semantics(reset="zero", recurrent_bias=True, dt=1e-4),
    "spikingjelly": Semantics(fires_at_threshold=True, start="v_reset", r_of_if=True),
    "norse": Semantics(start="v_leak", scaled_times=True, unit_input=True),
    # With the defaults of its LIF, IAF and ExpLeak; τ are numbers of steps.
    "sinabs": Semantics(
        reset="threshold",
        several=True,
        exponential=True,
        fires_at_threshold=True,
        unit_input=True,
        writes=("IF", "LI", "LIF"),
        dt=1.0,
    ),
    # Its LIFTorch, LIFNeuronTorch and ExpSynTorch without bias and noise.
    "rockpool": Semantics(
        reset="threshold",
        several=True,
        exponential=True,
        decays_input=True,
        fires_at_threshold=True,
        writes=("LI", "LIF", "CubaLIF"),
    ),
}


def semantics_of(name: str) -> Semantics:
    """Return the semantics called `name`.

    Raises:
        ConfigError: there are none of that name.
    """
    if name not in SEMANTICS:
        raise unknown("semantics", name, list(SEMANTICS))
    return SEMANTICS[name]
