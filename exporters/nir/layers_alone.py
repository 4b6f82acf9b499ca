"""Single layers of a NIR file, run in the interpreter from the file alone."""

from __future__ import annotations

from collections.abc import Mapping

import nir
import numpy as np

from ..graph.ir import INPUT, Affine, Array, Graph, Neuron, Node, Readout
from .interpreter import run_nir
from .unrolled import step_name


class UnrolledLayers:
    """The layers of a graph that is unrolled over its steps."""

    def __init__(self, read: nir.NIRGraph, graph: Graph) -> None:
        self._read, self._graph = read, graph

    def has_value(self, name: str) -> bool:
        """Return whether the file has the value of a layer at every step."""
        return all(each in self._read.nodes for each in self._names(name))

    def __call__(self, node: Node, given: Mapping[str, Array]) -> Array | None:
        wanted = self._names(node.name)
        values = {}
        for name, value in given.items():
            for each, step in zip(self._names(name), value, strict=True):
                values[each] = step[None]
        found = run_nir(self._read, np.zeros((1, 1), np.float32), given=values, wanted=wanted)
        value = np.stack([found[each][0] for each in wanted])
        is_output = isinstance(node, Readout) and node.name == self._graph.output
        is_term = is_output and self._graph.answer.kind == "mean"
        return value * np.float32(self._graph.outputs) if is_term else value

    def _names(self, name: str) -> list[str]:
        graph = self._graph
        if name in graph.time_invariant:
            return [name]
        if name == INPUT:
            return [INPUT] if graph.steps == 1 else [f"code_t{t}" for t in range(graph.steps)]
        if isinstance(next((n for n in graph.nodes if n.name == name), None), Readout):
            return [f"{name}_t{t}" for t in range(graph.outputs)]
        return [step_name(graph, name, t) for t in range(graph.steps_of[name])]


class LifLayers:
    """The layers of a graph that is run once a step."""

    def __init__(self, read: nir.NIRGraph, graph: Graph) -> None:
        self._read, self._graph = read, graph
        readers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in node.inputs:
                readers.setdefault(name, []).append(node)
        # The gain of a neuron is part of the weights that it alone reads.
        self._scaled = {
            node.name
            for node in graph.nodes
            if isinstance(node, Affine)
            and [type(reader) for reader in readers.get(node.name, [])] == [Neuron]
        }

    def has_value(self, name: str) -> bool:
        """Return whether the file has the value of a layer."""
        return name in self._read.nodes and name not in self._scaled

    def __call__(self, node: Node, given: Mapping[str, Array]) -> Array | None:
        steps = self._graph.steps
        values = {k: np.broadcast_to(v, (steps, *v.shape[1:])) for k, v in given.items()}
        zeros = np.zeros((steps, 1), np.float32)
        found = run_nir(self._read, zeros, given=values, wanted=[node.name])[node.name]
        return found[:1] if node.name in self._graph.time_invariant else found
