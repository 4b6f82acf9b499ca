"""NIR files in our interpreter and in simulators, for their verification: as a whole, and each
layer alone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import nir
import numpy as np

from ..graph.interpreter import Trace
from ..graph.ir import Array, Graph
from ..verification.driving import Driven
from ..verification.parity import Parity
from ..verification.runtimes import Check, driven, one_line
from ..verification.simulators import SIMULATORS, ImportedNetwork, Simulator
from .interpreter import run_nir
from .layers_alone import LifLayers, UnrolledLayers
from .unrolled import OUTPUT, answer_of, input_of, step_name


def checks_of_nir(
    read: nir.NIRGraph, path: Path, graph: Graph, *, form: str, exact: Sequence[str]
) -> list[Check]:
    """Return the checks of a NIR file: our interpreter, then every installed simulator.

    Args:
        read: the graph in the file.
        path: the file.
        graph: the reference.
        form: `pure`, `portable` or `lif`.
        exact: names of the simulators that run the file exactly, according to their targets.
    """
    unrolled = form != "lif"
    checks: list[Check] = [NirInterpreter(read, graph, unrolled=unrolled)]
    for simulator in SIMULATORS.values():
        if simulator.version is None or simulator.name not in exact:
            continue
        checks.append(NirSimulator(simulator, path, graph, unrolled=unrolled))
    return checks


def driven_nir(read: nir.NIRGraph, graph: Graph, *, unrolled: bool) -> Driven:
    """Drive the layers of a NIR file by random input."""
    layers = UnrolledLayers(read, graph) if unrolled else LifLayers(read, graph)
    return driven(graph, "numpy, from the file", layers, has_value=layers.has_value)


class NirInterpreter:
    """A NIR file in our interpreter, from the file alone."""

    def __init__(self, read: nir.NIRGraph, graph: Graph, *, unrolled: bool) -> None:
        self._read, self._unrolled = read, unrolled
        about = {"version": nir.version, "nodes": len(read.nodes)}
        self.parity = Parity(graph, "numpy, from the file", about)

    def add(self, images: Array, code: Array, trace: Trace) -> None:
        graph = self.parity.graph
        started = time.perf_counter()
        if self._unrolled:
            found = run_nir(self._read, input_of(graph, code)[None])
            layers = _of_steps(graph, found)
            logits = answer_of(graph, found[OUTPUT][0])
        else:
            found = run_nir(self._read, code)
            layers = {node.name: found[node.name] for node in graph.neurons}
            logits = graph.answer.of(found[OUTPUT])
        self.parity.seconds += time.perf_counter() - started
        self.parity.add(trace, logits, layers)


class NirSimulator:
    """A NIR file in a simulator of another project."""

    def __init__(self, simulator: Simulator, path: Path, graph: Graph, *, unrolled: bool) -> None:
        self._unrolled = unrolled
        self.parity = Parity(graph, simulator.name, {"version": simulator.version})
        self._net: ImportedNetwork | None = None
        try:
            self._net = simulator.open(path)
        except Exception as error:  # whatever another package raises
            self.parity.error = f"import failed: {one_line(error)}"

    def add(self, images: Array, code: Array, trace: Trace) -> None:
        assert self._net is not None
        graph = self.parity.graph
        steps = input_of(graph, code)[None] if self._unrolled else code
        try:
            outputs = self._net.run(steps)
            logits = answer_of(graph, outputs[0]) if self._unrolled else graph.answer.of(outputs)
        except Exception as error:  # whatever another package raises
            self.parity.error = f"run failed: {one_line(error)}"
            return
        self.parity.seconds = self._net.seconds
        if logits.shape != graph.answer.of(trace.logits).shape:
            self.parity.error = f"its output has the shape {logits.shape}"
            return
        self.parity.add(trace, logits)


def _of_steps(graph: Graph, found: Mapping[str, Array]) -> dict[str, Array]:
    """Return the values of layers over time, `[T, B, ...]`, from a graph unrolled in space."""
    layers = {}
    for node in graph.nodes:
        names = [step_name(graph, node.name, t) for t in range(graph.steps_of[node.name])]
        # The steps of the readout are divided by T, as terms of the mean.
        if node.name != graph.output and all(name in found for name in names):
            layers[node.name] = np.stack([found[name][0] for name in names])
    return layers
