"""Random input into each layer of a file alone, so that layers are proven beyond real samples.

Real samples leave neurons silent and weights unused. Here every layer gets spikes at several rates,
or values of several sizes, in its own sub-graph of the file, and has to compute what its node of
the export graph does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..graph.interpreter import Trace, evaluate, neuron_steps
from ..graph.ir import INPUT, Array, Cell, Graph, Neuron, Node
from ..graph.noise import noise_name
from .margins import margin_in
from .parity import TOLERANCE

RATES = (0.0, 0.05, 0.25, 0.5, 1.0)  # of spikes, one a sample
SIZES = (0.1, 0.5, 1.0, 2.0, 5.0)  # of values, in units of a threshold before a neuron
ROUNDS = 4  # samples of each rate or size

# Computes layers of a file: inputs by the name of a node, `[T, B, ...]` (`[1, B, ...]` of one that
# is time-invariant; of a layer that draws also `noise.NAME`), to the value of the layer, or None
# if the file has no such sub-graph.
Runner = Callable[[Node, Mapping[str, Array]], Array | None]


@dataclass
class Driven:
    """What a runtime computed of random input.

    Attributes:
        runtime: its name.
        layers: number of layers that were driven.
        neurons: of each layer the share that fired, and the share that was silent, at least once.
        fault: the first difference; None if there is none.
    """

    runtime: str
    layers: int = 0
    neurons: dict[str, tuple[float, float]] = field(default_factory=dict)
    fault: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the entry of `parity.json`."""
        return {
            "runtime": self.runtime,
            "layers": self.layers,
            "neurons": {
                name: {"fired": fired, "silent": silent}
                for name, (fired, silent) in self.neurons.items()
            },
            "first_difference": self.fault,
        }


def drive(
    graph: Graph,
    runtime: str,
    run: Runner,
    *,
    has_value: Callable[[str], bool] = lambda name: True,
    steps: int | None = None,
    seed: int = 0,
) -> Driven:
    """Drive every layer of a file by random input.

    Args:
        graph: of the network.
        runtime: name of what runs the file.
        run: computes one layer of the file.
        has_value: whether the file has the value of a node by itself; a layer behind one that it
            has not is driven together with it.
        steps: how many steps to drive; by default all.
        seed: of the input.
    """
    done = Driven(runtime)
    rng = np.random.default_rng(seed)
    nodes = {node.name: node for node in graph.nodes}
    for node in graph.nodes:
        if not has_value(node.name):
            continue
        begin = _begin(nodes, node, has_value)
        number = graph.steps if steps is None else steps
        given = {
            name: random_input(graph, name, node, _steps_of(graph, name, number), rng)
            for name in begin
        }
        noise = noise_name(node.name)
        if isinstance(node, Neuron) and noise in graph.noise:
            shape = (
                _steps_of(graph, node.name, number),
                len(RATES) * ROUNDS,
                *graph.noise[noise].shape,
            )
            given[noise] = rng.random(shape, np.float32)
        found = run(node, given)
        if found is None:
            continue
        done.layers += 1
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            trace = _values(graph, nodes, node, given, number)
        expected = trace.values[node.name]
        if found.shape != expected.shape:
            done.fault = f"layer {node.name}: {list(found.shape)} is not {list(expected.shape)}"
        elif isinstance(node, Neuron | Cell):
            fired = (expected > 0).any((0, 1)), (expected == 0).any((0, 1))
            done.neurons[node.name] = (float(fired[0].mean()), float(fired[1].mean()))
            done.fault = _of_spikes(node, trace, found)
        else:
            done.fault = _of_values(node, expected, found)
        if done.fault is not None:
            return done
    return done


def drive_part(
    graph: Graph,
    first: Node,
    last: Neuron | Cell,
    run: Callable[[Array], Array | None],
    scale: float = 1.0,
    noise: Callable[[int], dict[str, Array]] = lambda _: {},
) -> tuple[float, str | None]:
    """Drive a neuron, of one node or several, by random input.

    Args:
        graph: with its nodes.
        first, last: of them.
        run: computes its spikes, `[T, B, ...] -> [T, B, ...]`, or None if it cannot.
        scale: a factor of the input.
        noise: the uniform numbers that it draws with, for a number of samples.

    Returns:
        The share of neurons that fired, and the first difference, or None.
    """
    source = first.inputs[0]
    steps = graph.steps_of[source]
    x = random_input(graph, source, first, steps, np.random.default_rng(0))
    x = np.broadcast_to(x * np.float32(scale), (steps, *x.shape[1:]))
    nodes = {node.name: node for node in graph.nodes}
    given = {source: x, **noise(x.shape[1])}
    trace = _values(graph, nodes, last, given, graph.steps)
    expected, found = trace.values[last.name], run(x)
    fired = float((expected > 0).any((0, 1)).mean())
    if found is None:
        return fired, None
    if found.shape != expected.shape:
        return fired, f"layer {last.name}: {list(found.shape)} is not {list(expected.shape)}"
    return fired, _of_spikes(last, trace, found)


def random_input(
    graph: Graph, name: str, reader: Node, steps: int, rng: np.random.Generator
) -> Array:
    """Return random values of a node, `[T, B, ...]`, as its reader may get them."""
    steps = 1 if name in graph.time_invariant else steps
    shape = (steps, len(RATES) * ROUNDS, *graph.shapes[name])
    axes = [1] * (len(shape) - 2)
    if graph.is_binary(name):
        rates = np.repeat(np.array(RATES, np.float32), ROUNDS).reshape(1, -1, *axes)
        return (rng.random(shape, np.float32) < rates).astype(np.float32)
    sizes = np.repeat(np.array(SIZES, np.float32), ROUNDS).reshape(1, -1, *axes)
    if isinstance(reader, Cell):
        return sizes * (rng.standard_normal(shape, np.float32) + np.float32(0.5))
    if isinstance(reader, Neuron) and name == reader.inputs[0]:
        gain = np.maximum(np.abs(reader.gain).mean(), 1e-6)
        sizes = sizes * np.float32(np.abs(reader.threshold).mean() / gain)
        return sizes * (rng.standard_normal(shape, np.float32) + np.float32(0.5))
    return sizes * rng.standard_normal(shape, np.float32)


def _steps_of(graph: Graph, name: str, number: int) -> int:
    """Return the steps of a value in so many steps of the network: fewer of windows."""
    return number * graph.steps_of[name] // graph.steps


def _begin(nodes: Mapping[str, Node], node: Node, has_value: Callable[[str], bool]) -> list[str]:
    """Return the nearest nodes before a layer whose values the file has."""
    found: list[str] = []
    for name in node.inputs:
        if name == INPUT or has_value(name):
            found.append(name)
        else:
            found += _begin(nodes, nodes[name], has_value)
    return list(dict.fromkeys(found))


def _values(
    graph: Graph, nodes: Mapping[str, Node], node: Node, given: Mapping[str, Array], number: int
) -> Trace:
    """Return the value of a layer by the interpreter, with those between it and the given ones."""
    values, distances = dict(given), {}

    def compute(name: str) -> Array:
        if name not in values:
            part = nodes[name]
            before = _steps_of(graph, part.inputs[0], number)
            steps = 1 if name in graph.time_invariant else before
            inputs = [np.broadcast_to(x, (steps, *x.shape[1:])) for x in map(compute, part.inputs)]
            if isinstance(part, Neuron | Cell):
                values[name], distances[name] = neuron_steps(
                    part, inputs[0], given.get(noise_name(name)), inputs[1:]
                )
            else:
                values[name] = evaluate(part, inputs)
        return values[name]

    compute(node.name)
    source = values[node.inputs[0]]
    steps = len(values[node.name])
    if len(source) == 1:
        values[node.inputs[0]] = np.broadcast_to(source, (steps, *source.shape[1:]))
    return Trace(values, distances, np.zeros((steps, 0, 0), np.float32))


def _of_spikes(node: Neuron | Cell, trace: Trace, found: Array) -> str | None:
    expected, distance = trace.values[node.name], np.abs(trace.distances[node.name])
    differs = (found != expected).reshape(*found.shape[:2], -1)
    if not differs.any():
        return None
    margin = margin_in(node, trace)
    distance = distance.reshape(differs.shape)
    for sample in np.flatnonzero(differs.any((0, 2))):
        step = int(differs[:, sample].any(1).argmax())
        flips = differs[step, sample]
        farthest = float(distance[step, sample][flips].max())
        if farthest > margin[sample]:
            return (
                f"layer {node.name}, step {step}, given random input: {int(flips.sum())} spikes "
                f"differ, with the membrane up to {farthest:.3g} from the threshold"
            )
    return None


def _of_values(node: Node, expected: Array, found: Array) -> str | None:
    """Compare values; of a root or logarithm of random input some are no numbers, in both."""
    known = np.isfinite(expected)
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    difference = np.abs(np.where(same, 0, found) - np.where(same, 0, expected))
    allowed = TOLERANCE * np.maximum(1.0, np.abs(expected[known]).max(initial=0))
    far = ~(difference <= allowed)
    if not far.any():
        return None
    step = int(far.reshape(len(far), -1).any(1).argmax())
    return (
        f"layer {node.name}, step {step}, given random input: values differ by up to "
        f"{np.nanmax(difference):.3g}"
    )
