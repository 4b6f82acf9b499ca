"""A file of any writer compared with a network: spikes by layer and step where layers match."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

from ...core.errors import ConfigError
from ..graph.interpreter import Trace, evaluate
from ..graph.ir import Array, Cell, Graph, Neuron
from ..source import ExportSource, Samples
from ..verification.compare import Report, compare
from ..verification.parity import Parity
from .ends import last_neurons
from .file import OtherFile, not_comparable
from .imported import ImportedNir
from .nir import OtherNir
from .onnx import OtherOnnx


def check_other(
    source: ExportSource,
    path: Path,
    samples: Samples,
    *,
    dt: float | None = None,
    semantics: str = "nir",
) -> Report:
    """Compare what a file computes with a network, on samples, from rest.

    A NIR file is run in our interpreter, one frame a step, an ONNX file in onnxruntime. Its layers
    of neurons are matched with those of the network by name, or by their number in order.

    Args:
        source: the network.
        path: a `.nir` or `.onnx` file.
        samples: to compare on.
        dt: length of a step of a NIR file in seconds; None for what the file says.
        semantics: how a NIR file is computed: `nir`, or the simulator that wrote it.

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
    last = last_neurons(graph)
    file: OtherFile
    if path.name.removesuffix(".unverified").endswith(".nir"):
        file = (
            OtherNir(path, graph.in_shape, dt)
            if semantics == "nir"
            else ImportedNir(path, graph.in_shape, dt, steps=graph.steps, semantics=semantics)
        )
    elif semantics != "nir":
        raise ConfigError("--semantics is for .nir files", why=f"{path} says what it computes")
    else:
        file = OtherOnnx(
            path,
            graph.in_shape,
            steps=graph.steps,
            classes=graph.classes,
            static=graph.static,
            spikes=last is not None,
            code=source.encode(samples.images[:4]),
        )
    check = FileCheck(file, path, graph, last)
    check.require_output(source.encode(samples.images[:1]))
    report = compare(source, samples, [check])
    return replace(report, notes=check.notes)


class FileCheck:
    """A file as a runtime to verify.

    Attributes:
        parity: the comparison.
        notes: what the file does not say, and which layers are not compared.
    """

    def __init__(
        self, file: OtherFile, path: Path, graph: Graph, last: Neuron | Cell | None
    ) -> None:
        self._file, self._path, self._last = file, path, last
        self.notes = [f"{path}: {note}" for note in file.notes]
        self._matched = self._match(graph)
        self.parity = Parity(graph, file.runtime, {**file.about, "layers": self._matched})

    def _match(self, graph: Graph) -> dict[str, str]:
        """Return the node of the file for each layer of neurons that it has."""
        own = {
            node.name: math.prod(graph.shapes[node.name])
            for node in graph.neurons
            if graph.steps_of[node.name] == graph.steps
        }
        found = self._file.layers
        if {*own} == {*found}:
            return {name: name for name in own}
        if len(own) == len(graph.neurons) and [*own.values()] == [*found.values()]:
            return dict(zip(own, found, strict=True))
        if found:
            sizes = f"{[*found.values()]} neurons, the network {[*own.values()]}"
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
                f"it gives {steps.shape[2]} values a step, the network {list(graph.output_shape)}",
            )
        spikes = self._last is not None
        if file.ends_with_spikes not in (None, spikes):
            own, theirs = ("values", "spikes")[:: -1 if spikes else 1]
            raise not_comparable(self._path, f"it ends with {theirs}, the network with {own}")

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
        if self._last is not None:
            layers[self._last.name] = logits.reshape(trace.values[self._last.name].shape)
            if self._last.name != graph.output:
                logits = evaluate(graph.nodes[-1], [logits])
        answer = graph.answer.of(logits)
        self.parity.add(trace, answer, layers, outputs={"logits_per_step": logits})
