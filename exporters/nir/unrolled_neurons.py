"""The steps of a neuron unrolled in space, as a chain of NIR nodes.

    gain_t = b_t x_t                    Scale
    leak_t = a_t (u_{t-1} + neg_{t-1})  Scale of two in-edges
    u_t = gain_t + leak_t               Scale by 1
    s_t = H(u_t - θ)                    Threshold
    neg_t = -size s_t                   Scale

With recurrent weights, x_t + U s_{t-1} takes the place of x_t: a Linear of the spikes of the step
before. A synaptic current i_t = α i_{t-1} + x_t is a chain of its own and takes that place.
Neurons that fire once have no reset but s_t = H(H(u_t - θ) - f_{t-1} - 1/2), f_t = f_{t-1} + s_t.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..graph.ir import Neuron, Shape
from .nodes import NirBuilder

Names = tuple[str, ...]
ONE = np.ones(1, np.float32)


def neuron_chain(
    builder: NirBuilder, node: Neuron, shape: Shape, names: Sequence[str], inputs: Sequence[Names]
) -> list[Names]:
    """Add the steps of a neuron; return for each the NIR nodes whose sum are its spikes.

    Args:
        builder: of the NIR graph.
        node: the neuron.
        shape: of one sample of its value.
        names: of its spikes, one for each step.
        inputs: for each step, the NIR nodes whose sum it reads.
    """
    steps = len(names)
    spikes: list[Names] = []
    currents: list[Names] = []
    membrane: Names = ()
    fired: Names = ()
    for t, (name, sources) in enumerate(zip(names, inputs, strict=True)):
        current = _current(builder, node, shape, name, sources, spikes, currents)
        if (node.gain[t] != 1).any() or len(current) > 1:
            current = (builder.scale(f"{name}_gain", node.gain[t], shape, *current),)
        total = current
        if membrane and node.leak[t].any():
            leaked = builder.scale(f"{name}_leak", node.leak[t], shape, *membrane)
            total = (builder.scale(f"{name}_membrane", ONE, shape, leaked, *current),)
        if fired:
            above = _thresholds(builder, node, shape, t, f"{name}_above", total)
            before = builder.scale(f"{name}_before", -ONE, shape, *fired)
            spikes.append((builder.threshold(name, ONE / 2, shape, above, before),))
        else:
            spikes.append((_thresholds(builder, node, shape, t, name, total),))
        if node.once and t + 1 < steps:
            fired = (
                (builder.scale(f"{name}_fired", ONE, shape, *fired, *spikes[-1]),)
                if fired
                else spikes[-1]
            )
        membrane = total
        if t + 1 < steps and node.reset == "subtract":
            drop = builder.scale(f"{name}_reset", -node.size[t], shape, *spikes[-1])
            membrane = (*total, drop)
    return spikes


def _current(
    builder: NirBuilder,
    node: Neuron,
    shape: Shape,
    name: str,
    sources: Names,
    spikes: list[Names],
    currents: list[Names],
) -> Names:
    """Return what a step integrates: its input, with recurrent spikes, as a synaptic current.

    Args:
        builder, node, shape: as of `neuron_chain`.
        name: of the spikes of the step.
        sources: its input.
        spikes: of the steps before.
        currents: of the steps before, if the neuron has a synapse; that of the step is added.
    """
    if node.recurrent is not None and spikes:
        sources = (
            builder.one(f"{name}_input", shape, sources),
            builder.recurrence(f"{name}_recurrent", node.recurrent, shape, *spikes[-1]),
        )
    if node.synapse is None:
        return sources
    if currents:
        kept = builder.scale(f"{name}_kept", node.synapse, shape, *currents[-1])
        received = builder.one(f"{name}_received", shape, sources)
        sources = (builder.scale(f"{name}_current", ONE, shape, kept, received),)
    currents.append(sources)
    return sources


def _thresholds(
    builder: NirBuilder, node: Neuron, shape: Shape, t: int, name: str, membrane: Names
) -> str:
    """Add the spikes of a step: one threshold for each that a step can send.

        s = Σ_{j<m} H(v - threshold - j size)

    The sum of 0 and 1 is the same float in any order, so the layers that read it read all.
    """
    levels = [node.threshold[t] + j * node.size[t] for j in range(node.most)]
    if len(levels) == 1:
        return builder.threshold(name, levels[0], shape, *membrane)
    each = [
        builder.threshold(f"{name}_{j}", level, shape, *membrane)
        for j, level in enumerate(levels, start=1)
    ]
    return builder.scale(name, ONE, shape, *each)
