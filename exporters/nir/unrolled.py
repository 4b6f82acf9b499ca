"""A network with any schedule in NIR, exactly: its T steps unrolled in space.

The graph is run once: its input holds all steps of the code, `[T·C, H, W]` (`[C, H, W]` if all
steps are equal), its output is the answer, `[K]`: the mean of the logits over the steps, or those
of the last step. Of a network that answers at the first crossing of a level it is the logits of all
steps, `[T·K]`, because NIR has no node that chooses one: the caller does.
"""

from __future__ import annotations

import nir
import numpy as np

from ...core.errors import ConfigError
from ..graph.ir import (
    INPUT,
    Accumulate,
    Affine,
    Array,
    Cells,
    Filter,
    Graph,
    Neuron,
    Node,
    Readout,
    Shift,
)
from ..remedies import GIVEN, by_origin
from .layers import add_layer, refuse_unwritten
from .nodes import NirBuilder, Style
from .unrolled_neurons import neuron_chain

OUTPUT = "output"


def step_name(graph: Graph, name: str, t: int) -> str:
    """Return the name of the NIR node with the value of a layer at a step."""
    return name if name in graph.time_invariant or graph.steps_of[name] == 1 else f"{name}_t{t}"


def input_of(graph: Graph, code: Array) -> Array:
    """Return a code `[T, B, C, H, W]` as the input of the unrolled graph, `[B, T·C, H, W]`."""
    if graph.static:
        return np.ascontiguousarray(code[0])
    stacked = np.moveaxis(code, 0, 1)
    return np.ascontiguousarray(stacked.reshape(len(stacked), -1, *code.shape[3:]))


def outputs_of_steps(found: Array, steps: int) -> Array:
    """Return the output `[B, T·K]` of an unrolled graph as that of its steps, `[T, B, K]`."""
    return found.reshape(len(found), steps, -1).swapaxes(0, 1)


def output_of(graph: Graph, logits: Array) -> Array:
    """Return what the unrolled graph puts out, `[B, K]` or `[B, T·K]`, for logits `[T, B, K]`."""
    if graph.answer.chooses_step:
        return logits.swapaxes(0, 1).reshape(logits.shape[1], -1)
    return graph.answer.of(logits)


def answer_of(graph: Graph, found: Array) -> Array:
    """Return the answer `[B, K]` of an output of the unrolled graph."""
    if graph.answer.chooses_step:
        return graph.answer.of(outputs_of_steps(found, graph.outputs))
    return found


def unroll(graph: Graph, style: Style, metadata: dict[str, object]) -> nir.NIRGraph:
    """Return a network unrolled over its steps.

    Raises:
        ConfigError: NIR has no exact form of a layer.
    """
    refuse_unwritten(graph)
    _refuse_inexact(graph, style)
    return _Unrolling(graph, style).build(metadata)


def _refuse_inexact(graph: Graph, style: Style) -> None:
    """Refuse neurons that no chain of nodes computes.

    Raises:
        ConfigError: with the first.
    """
    for node in graph.neurons:
        if not isinstance(node, Neuron):
            continue
        if node.reset == "zero" and graph.steps_of[node.name] > 1:
            raise ConfigError(
                f"layer {node.name!r} resets its membrane to zero, which NIR cannot unroll",
                why="v (1 - s) is a product of two signals, and NIR has no node for one",
                remedy=by_origin(
                    graph,
                    recipe="use --form lif, or train with a reset by subtraction: "
                    "neuron.reset=subtract",
                    module="use --form lif, or build its neurons with a reset by subtraction: "
                    "reset_mechanism='subtract' of snnTorch",
                    imported=f"{GIVEN}; or --form lif",
                ),
            )
        if style == "portable" and not (node.threshold > 0).all():
            raise ConfigError(
                f"layer {node.name!r} has a threshold that is not above 0",
                why="portable neurons start from rest at 0 and would fire without input",
                remedy="use --form pure",
            )


class _Unrolling:
    """Adds the steps of one layer after another.

    Attributes:
        values: for each layer and step, the names of the NIR nodes whose sum is its value.
    """

    def __init__(self, graph: Graph, style: Style) -> None:
        self.graph = graph
        self.builder = NirBuilder(style)
        self.values: dict[str, list[tuple[str, ...]]] = {}

    def build(self, metadata: dict[str, object]) -> nir.NIRGraph:
        self.values[INPUT] = self.add_input()
        for node in self.graph.nodes:
            if node.name in self.graph.time_invariant:
                one = self.layer(node, 0)
                self.values[node.name] = [one] * self.graph.steps_of[node.name]
            elif isinstance(node, Neuron):
                inputs, shape = self.values[node.inputs[0]], self.graph.shapes[node.name]
                names = [step_name(self.graph, node.name, t) for t in range(len(inputs))]
                self.values[node.name] = neuron_chain(self.builder, node, shape, names, inputs)
            elif isinstance(node, Filter):
                self.values[node.name] = self.filter(node)
            elif isinstance(node, Shift):
                self.values[node.name] = self.shift(node)
            elif isinstance(node, Accumulate):
                self.values[node.name] = self.windows(node)
            else:
                number = self.graph.steps_of[node.name]
                begin = number - 1 if self.is_last_alone(node) else 0
                steps = range(begin, number)
                self.values[node.name] = [()] * begin + [self.layer(node, t) for t in steps]
        if self.graph.answer.kind == "sums":
            self.add_sums()
            return self.builder.finish(metadata)
        if self.graph.answer.chooses_step:
            self.add_outputs_of_steps()
            return self.builder.finish(metadata)
        outputs, share = self.values[self.graph.output], np.ones(1, np.float32)
        name = "mean_logits"
        if self.graph.answer.kind == "last":
            outputs, name = outputs[-1:], "last_logits"
        elif not isinstance(self.graph.nodes[-1], Readout):
            share = share / np.float32(self.graph.outputs)
        sources = [name for names in outputs for name in names]
        end = self.graph.nodes[-1]
        images = isinstance(end, Cells)
        shape = self.graph.shapes[end.inputs[0] if images else end.name]
        last = self.builder.scale(name, share, shape, *sources)
        if images:
            last = self.builder.cells(f"{name}_by_cell", shape, last)
        shape = self.graph.output_shape
        self.builder.add(OUTPUT, nir.Output({"output": np.array(shape)}), last)
        return self.builder.finish(metadata)

    def add_outputs_of_steps(self) -> None:
        """Add the logits of all steps, one step behind the other, as the output."""
        steps, classes = self.graph.outputs, self.graph.classes
        placed = []
        for t, names in enumerate(self.values[self.graph.output]):
            place = np.zeros((steps * classes, classes), np.float32)
            place[t * classes : (t + 1) * classes] = np.eye(classes)
            placed.append(self.builder.add(f"logits_of_step_{t}", nir.Linear(place), *names))
        last = self.builder.scale(
            "logits_of_steps", np.ones(1, np.float32), (steps * classes,), *placed
        )
        self.builder.add(OUTPUT, nir.Output({"output": np.array((steps * classes,))}), last)

    def add_sums(self) -> None:
        """Add the sums of all windows, one window behind the other, as the output."""
        channels, *size = self.graph.output_shape
        windows = self.graph.outputs
        placed = []
        for w, names in enumerate(self.values[self.graph.output]):
            place = np.zeros((windows * channels, channels), np.float32)
            place[w * channels : (w + 1) * channels] = np.eye(channels)
            own = (channels, *size)
            placed.append(self.builder.placed(f"sums_of_window_{w}", place, own, *names))
        shape = (windows * channels, *size)
        last = self.builder.scale("sums_of_windows", np.ones(1, np.float32), shape, *placed)
        self.builder.add(OUTPUT, nir.Output({"output": np.array(shape)}), last)

    def is_last_alone(self, node: Node) -> bool:
        """Return whether only the last step of a node is used."""
        return node.name == self.graph.output and self.graph.answer.kind == "last"

    def add_input(self) -> list[tuple[str, ...]]:
        """Add the input, and a linear layer for each step that selects its channels."""
        graph = self.graph
        channels, *size = graph.in_shape
        distinct_steps = 1 if graph.static else graph.steps
        shape = (distinct_steps * channels, *size)
        source = self.builder.add(INPUT, nir.Input({"input": np.array(shape)}))
        if distinct_steps == 1:
            return [(source,)] * graph.steps
        steps = []
        for t in range(graph.steps):
            selection = np.zeros((channels, shape[0]), np.float32)
            selection[np.arange(channels), t * channels + np.arange(channels)] = 1
            steps.append((self.builder.placed(f"code_t{t}", selection, shape, source),))
        return steps

    def layer(self, node: Node, t: int) -> tuple[str, ...]:
        """Add a stateless layer at one step."""
        graph, builder = self.graph, self.builder
        sources = [self.values[name][t] for name in node.inputs]
        name = step_name(graph, node.name, t)
        first = sources[0]
        if isinstance(node, Affine):
            before = graph.shapes[node.inputs[0]]
            return (builder.affine(name, node, node.of_step[t], before, *first),)
        if isinstance(node, Readout):
            takes_mean = node.name == graph.output and graph.answer.kind == "mean"
            share = np.float32(node.scale[t] / (graph.outputs if takes_mean else 1))
            affine = nir.Affine(node.weight * share, node.bias * share)
            return (builder.add(f"{node.name}_t{t}", affine, *first),)
        return add_layer(builder, graph, node, name, t, sources)

    def windows(self, node: Accumulate) -> list[tuple[str, ...]]:
        """Add the sum of each window: a scale by 1 of an edge from each of its steps."""
        graph, shape = self.graph, self.graph.shapes[node.name]
        steps = self.values[node.inputs[0]]
        found: list[tuple[str, ...]] = []
        for w in range(graph.steps_of[node.name]):
            of_window = steps[w * node.length : (w + 1) * node.length]
            sources = [name for names in of_window for name in names]
            name = step_name(graph, node.name, w)
            found.append((self.builder.scale(name, np.ones(1, np.float32), shape, *sources),))
        return found

    def shift(self, node: Shift) -> list[tuple[str, ...]]:
        """Return the steps of the step before, or of the next one; outside there are zeros."""
        steps, shape = self.values[node.inputs[0]], self.graph.shapes[node.name]
        edge = "_before" if node.by > 0 else "_behind"
        zero = self.builder.scale(f"{node.name}{edge}", np.zeros(1, np.float32), shape, *steps[0])
        return [(zero,), *steps[:-1]] if node.by > 0 else [*steps[1:], (zero,)]

    def filter(self, node: Filter) -> list[tuple[str, ...]]:
        """Add the steps of a filter: a chain of scales for each pole.

        Raises:
            ConfigError: it does not start from 0.
        """
        if node.start is not None and node.start.any():
            raise ConfigError(
                f"layer {node.name!r} starts from a learned value, which NIR has no node for",
                why="a NIR graph has no constants",
                remedy="use --format onnx, or train with readout.learn_start=false",
            )
        graph, builder, shape = self.graph, self.builder, self.graph.shapes[node.name]
        one = np.ones(1, np.float32)
        steps = self.values[node.inputs[0]]
        if (node.gain != 1).any():
            names = [step_name(graph, node.name, t) for t in range(len(steps))]
            steps = [
                (builder.scale(f"{name}_gain", node.gain, shape, *sources),)
                for name, sources in zip(names, steps, strict=True)
            ]
        for p, pole in enumerate(node.poles, start=1):
            states: list[tuple[str, ...]] = []
            for t, sources in enumerate(steps):
                name = step_name(graph, node.name, t) + f"_f{p}" * (p < len(node.poles))
                terms = sources
                if states:
                    if len(sources) > 1:
                        terms = (builder.scale(f"{name}_input", one, shape, *sources),)
                    kept = builder.scale(f"{name}_kept", pole, shape, *states[-1])
                    terms = (kept, *terms)
                states.append((builder.scale(name, one, shape, *terms),))
            steps = states
        return steps
