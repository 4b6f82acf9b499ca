"""A file of any writer compared with a network: spikes by layer and step where layers match."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from ...core.errors import ConfigError
from ..graph.interpreter import Trace, evaluate
from ..graph.ir import Array, Cell, Graph, Neuron
from ..paths import is_nir
from ..source import ExportSource, Samples
from ..verification.compare import Report, compare
from ..verification.parity import Parity
from .ends import last_neurons
from .file import OtherFile, is_binary, not_comparable, same_size, shown
from .imported import open_nir
from .onnx import OtherOnnx
from .outputs import compare_outputs, outputs_graph

IMPORTED = "network."  # before the names of nodes of a NIR file in the graph of its network


def check_other(
    source: ExportSource,
    path: Path,
    samples: Samples,
    *,
    dt: float | None = None,
    semantics: str | None = None,
    static: bool | None = None,
    name: str = "the network",
) -> Report:
    """Compare what a file computes with a network, on samples, from rest.

    A NIR file is run in our interpreter, one frame a step, an ONNX file in onnxruntime. Its layers
    of neurons are matched with those of the network by name, or by their number in order.

    Args:
        source: the network.
        path: a `.nir` or `.onnx` file.
        samples: to compare on.
        dt: length of a step of a NIR file in seconds; None for what the file says.
        semantics: how a NIR file is computed: `nir`, or the simulator that wrote it; None for what
            its metadata name.
        static: whether the samples are the same at all steps; None if the network says it.
        name: of the network, in messages.

    Raises:
        ConfigError: the network has no steps, or a NIR file does not say how long one is.
        DataError: the file is damaged or hostile, or its inputs or outputs do not match.
    """
    graph = getattr(source, "graph", None)
    if not isinstance(graph, Graph) or source.exact is not None:
        raise ConfigError(
            f"{path} is not a file of asnn, and the network has exact times",
            why="files of other tools are compared step by step",
            remedy="compare a network with time steps",
        )
    if graph.noise:
        raise ConfigError(
            f"{path} is not a file of asnn, and the network draws random numbers",
            why="the file would draw others",
            remedy="compare with --noise off",
        )
    known = source.refusal is None
    reference = graph if known else _of_outputs(source)
    last = last_neurons(graph) if known else None
    spikes = last is not None if known else None
    file: OtherFile
    if is_nir(path):
        file = open_nir(path, graph.in_shape, steps=graph.steps, dt=dt, semantics=semantics)
    else:
        refuse_options(path, semantics, dt)
        file = OtherOnnx(
            path,
            graph.in_shape,
            steps=graph.steps,
            classes=reference.classes,
            static=graph.static if static is None else static,
            spikes=spikes,
            code=source.encode(samples.images[:4]),
            name=name,
        )
    require_input(file, path, graph, name)
    check = FileCheck(file, path, reference, last, spikes=spikes, name=name)
    check.require_output(source.encode(samples.images[:1]))
    if known:
        report = compare(source, samples, [check])
    else:
        assert source.refusal is not None
        check.notes.append(f"spikes of layers are not compared: {source.refusal.what}")
        report = compare_outputs(check, partial(_outputs, source), source.encode, samples)
    return replace(report, notes=check.notes)


def _of_outputs(source: ExportSource) -> Graph:
    """Return the graph of the outputs of an imported network that has no other."""
    assert source.imported is not None
    graph = source.graph
    return outputs_graph(source.imported.config["classes"], graph.steps, graph.answer)


def _outputs(source: ExportSource, code: Array) -> Array:
    found = source.eager(torch.from_numpy(code)).logits
    assert found is not None
    return found.numpy()


def refuse_options(path: Path, semantics: str | None, dt: float | None) -> None:
    """Refuse semantics, and the length of a step, of an ONNX file.

    Raises:
        ConfigError: they are given.
    """
    for given, what in ((semantics, "semantics are"), (dt, "the length of a step, dt, is")):
        if given is not None:
            raise ConfigError(
                f"{what} for .nir files",
                why=f"{path} says what it computes",
                remedy="leave the option out",
            )


def require_input(file: OtherFile, path: Path, graph: Graph, name: str) -> None:
    """Refuse a file that reads other frames than a network of this graph.

    Raises:
        DataError: their sizes differ.
    """
    if same_size(file.in_shape, graph.in_shape):
        return
    unrolled = same_size(file.in_shape, (graph.steps, *graph.in_shape))
    raise not_comparable(
        path,
        f"its input is {shown(file.in_shape)}, that of {name} {shown(graph.in_shape)}",
        f"it takes all {graph.steps} steps at once: compare it with its run" if unrolled else "",
    )


class FileCheck:
    """A file as a runtime to verify.

    Args:
        file: as it is run.
        path: of the file.
        graph: of the network; see `outputs_graph` for one without.
        last: the neurons whose spikes are its output; None if it gives values.
        spikes: whether its output is spikes; None if that is not known.
        name: of the network, in messages.

    Attributes:
        parity: the comparison.
        notes: what the file does not say, and which layers are not compared.
    """

    def __init__(
        self,
        file: OtherFile,
        path: Path,
        graph: Graph,
        last: Neuron | Cell | None,
        *,
        spikes: bool | None,
        name: str = "the network",
    ) -> None:
        self._file, self._path, self._last = file, path, last
        self._spikes, self._name = spikes, name
        self.notes = [f"{path}: {note}" for note in file.notes]
        self._matched = self._match(graph) if graph.neurons else {}
        self.parity = Parity(graph, file.runtime, {**file.about, "layers": self._matched})

    def _match(self, graph: Graph) -> dict[str, str]:
        """Return the node of the file for each layer of neurons that it has."""
        own = {
            node.name: math.prod(graph.shapes[node.name])
            for node in graph.neurons
            if graph.steps_of[node.name] == graph.steps
        }
        found = self._file.layers
        named = {name.removeprefix(IMPORTED): name for name in own}
        if {node: own[name] for node, name in named.items()} == found:
            return {name: node for node, name in named.items()}
        if len(own) == len(graph.neurons) and [*own.values()] == [*found.values()]:
            return dict(zip(own, found, strict=True))
        if found:
            sizes = f"{[*found.values()]} neurons, {self._name} {[*own.values()]}"
            self.notes.append(f"{self._path}: its layers are not compared: they have {sizes}")
        return {}

    def require_output(self, code: Array) -> None:
        """Refuse a file whose output is something else than that of the network.

        Raises:
            DataError: it has another size, or is spikes where the network gives values.
        """
        graph, file = self.parity.graph, self._file
        steps = file.run(code).steps
        if steps is None:
            return
        if len(graph.output_shape) != 1 or steps.shape[2] != graph.classes:
            raise not_comparable(
                self._path,
                f"it gives {steps.shape[2]} values a step, {self._name} {list(graph.output_shape)}",
            )
        if None in (self._spikes, file.ends_with_spikes) or file.ends_with_spikes == self._spikes:
            return
        own, theirs = ("values", "spikes")[:: -1 if self._spikes else 1]
        raise not_comparable(self._path, f"it ends with {theirs}, {self._name} with {own}")

    def add(self, images: Array, code: Array, trace: Trace) -> None:
        graph = self.parity.graph
        started = time.perf_counter()
        found = self._file.run(code)
        self.parity.seconds += time.perf_counter() - started
        layers = {
            name: found.layers[own].reshape(trace.values[name].shape)
            for name, own in self._matched.items()
        }
        if found.steps is None:
            assert found.answer is not None
            self.parity.add(trace, found.answer, layers)
            return
        logits = found.steps
        if not graph.neurons and is_binary(logits) and is_binary(trace.logits):
            self.parity.count_spikes(graph.output, trace.logits, logits)
        if self._last is not None:
            layers[self._last.name] = logits.reshape(trace.values[self._last.name].shape)
            if self._last.name != graph.output:
                logits = evaluate(graph.nodes[-1], [logits])
        answer = graph.answer.of(logits)
        self.parity.add(trace, answer, layers, outputs={"logits_per_step": logits})
