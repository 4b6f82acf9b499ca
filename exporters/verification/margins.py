"""How near a membrane may come to its threshold for rounding to flip its spike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..graph.interpreter import Trace, filter_steps
from ..graph.interpreter import received as of_spikes
from ..graph.ir import Array, Cell, Filter, Graph, Neuron

MARGIN = 1e-6  # of a membrane to its threshold after one step, relative to inputs above 1


def margin_in(node: Neuron | Cell, trace: Trace) -> Array:
    """Return the margin for each sample within which rounding may flip a spike, `[B]`.

    For equations of a neuron's own it is T times the error of one step: that of states whose
    errors do not grow. Where they do, flips count as differences.
    """
    if isinstance(node, Neuron):
        return margin_of(node, received(node, trace))
    x, distances = trace.values[node.inputs[0]], trace.distances[node.name]
    largest = np.ones(x.shape[1])
    for values in (x, distances):
        finite = np.where(np.isfinite(values), np.abs(values), 0)
        largest = np.maximum(largest, by_sample(finite).max(axis=(0, 2), initial=0))
    return MARGIN * len(distances) * largest


def margin_of(node: Neuron, currents: Array) -> Array:
    """Return the margin for each sample within which rounding may flip a spike, `[B]`.

    A membrane sums the rounding errors of gain · input over the steps, each times the leaks since:
    up to 1 / (1 - leak) times the error of one step. So does a synaptic current before it.

    Args:
        node: the neuron.
        currents: what it receives, `[T, B, ...]`.
    """
    growth = _growth(node.leak[1 : len(currents)])
    if node.synapse is not None:
        growth *= _growth(np.repeat(node.synapse[None], len(currents) - 1, axis=0))
    largest = np.abs(by_sample(currents)).max(axis=(0, 2), initial=0).astype(np.float64)
    return MARGIN * growth * np.maximum(1.0, np.abs(node.gain).max() * largest)


def _growth(leaks: Array) -> float:
    """Return by how much the error of a step may grow over steps with these leaks, `[T, C]`."""
    growth = total = np.ones(leaks.shape[1], np.float64)
    for leak in leaks.astype(np.float64):
        total = 1 + np.abs(leak) * total
        growth = np.maximum(growth, total)
    return float(growth.max())


def received(node: Neuron, trace: Trace) -> Array:
    """Return what a membrane receives, `[T, B, ...]`: the input and U s of the step before, through
    the synapse."""
    x = trace.values[node.inputs[0]]
    if node.recurrent is not None:
        spikes = trace.values[node.name]
        x = np.concatenate([x[:1], x[1:] + of_spikes(node.recurrent, spikes[:-1])])
    if node.synapse is None:
        return x
    current = Filter(name="", inputs=(), poles=node.synapse[None], gain=np.ones(1, np.float32))
    return filter_steps(current, x)


def near_threshold(neurons: Sequence[Neuron | Cell], trace: Trace) -> Array:
    """Return the samples with a membrane within the margin of its threshold, `[B]`."""
    near = np.zeros(trace.logits.shape[1], bool)
    for node in neurons:
        distance = by_sample(np.abs(trace.distances[node.name])).min(axis=(0, 2), initial=np.inf)
        near |= distance <= margin_in(node, trace)
    return near


def count_within_margin(neurons: Sequence[Neuron | Cell], trace: Trace) -> int:
    """Return the number of membranes, of all samples and steps, that rounding may make fire."""
    return sum(
        int((by_sample(np.abs(trace.distances[n.name])) <= margin_in(n, trace)[:, None]).sum())
        for n in neurons
    )


def count_near_threshold(graph: Graph, trace: Trace, margin: float = MARGIN) -> dict[str, int]:
    """Return the number of membranes within `margin` of the threshold, by layer."""
    return {
        node.name: int((np.abs(trace.distances[node.name]) <= margin).sum())
        for node in graph.neurons
    }


def by_sample(values: Array) -> Array:
    """Reshape `[T, B, ...]` to `[T, B, F]`."""
    return values.reshape(*values.shape[:2], -1)
