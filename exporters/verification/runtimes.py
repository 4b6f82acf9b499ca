"""The runtimes that verify a file: torch, onnxruntime, our interpreter of NIR, simulators."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import nir
import numpy as np
import onnx
import torch

from ...coding.thresholds import QuantileThresholds
from ...core.errors import AsnnError
from ..graph.interpreter import Trace
from ..graph.ir import Array, Graph
from ..nir.interpreter import run_nir
from ..nir.layers_alone import LifLayers, UnrolledLayers
from ..nir.unrolled import OUTPUT, input_of, step_name
from ..onnx.layers_alone import SequenceLayers, layers_of
from ..onnx.runtime import CPU, OnnxSession, providers, run_stream, with_outputs
from ..source import ExportSource
from .driving import Driven, Runner, drive
from .parity import CODE, Parity
from .simulators import SIMULATORS, ImportedNetwork, Simulator

# Distance of a standardised pixel to a threshold of the code: the standardisation sums an image.
CODE_MARGIN = 5e-6
MAX_STEPS = 32  # of layers that are driven step by step


class Check(Protocol):
    """A runtime that is compared with the graph."""

    parity: Parity

    def add(self, images: Array, code: Array, trace: Trace) -> None:
        """Compare a batch."""
        ...


def recoded(
    source: ExportSource, images: Array, code: Array, found: Array, parity: Parity
) -> Array:
    """Return the samples whose code in a runtime differs at a pixel on a threshold, `[B]`.

    Quantile codes standardise an image, where runtimes may differ in the last digit. All other
    codes compare pixels as they are, so that any difference is a mismatch.
    """
    differs = np.broadcast_to(found, code.shape) != code
    samples = differs.reshape(len(code), len(images), -1).any((0, 2))
    if not samples.any():
        return samples
    thresholds = getattr(getattr(source.coding, "inner", source.coding), "thresholds", None)
    near = np.zeros(images.shape, bool)
    if isinstance(thresholds, QuantileThresholds):
        near = thresholds.distance(torch.from_numpy(images)).numpy() <= CODE_MARGIN
    wrong = (differs.any(0) & ~near).reshape(len(images), -1).any(1)
    if wrong.any():
        parity.add_encoder_mismatch(int(wrong.sum()))
    return samples


class EagerNetwork:
    """The network in torch."""

    def __init__(self, graph: Graph, source: ExportSource) -> None:
        self._eager = source.eager
        self.parity = Parity(graph, "torch", {"version": torch.__version__})

    def add(self, images: Array, code: Array, trace: Trace) -> None:
        started = time.perf_counter()
        output = self._eager(torch.from_numpy(code))
        self.parity.seconds += time.perf_counter() - started
        spikes = output.spikes
        layers = None if spikes is None else {k: v.numpy() for k, v in spikes.items()}
        logits = None if output.logits is None else output.logits.numpy()
        outputs = {} if logits is None else {"logits_per_step": logits}
        if output.answer is not None:  # by the readout itself, not by what its file says of it
            answer = output.answer.numpy()
        else:
            assert logits is not None
            answer = self.parity.graph.answer.of(logits)
        self.parity.add(trace, answer, layers, outputs=outputs)


class OriginalGraph:
    """The loss by rounding or approximation, relative to the original graph; for information."""

    def __init__(self, graph: Graph) -> None:
        self.parity = Parity(graph, "before the change", gates=False)

    def add_traces(self, before: Trace, after: Trace) -> None:
        """Compare a batch."""
        self.parity.add(before, self.parity.graph.answer.of(after.logits), after.values)


class OnnxSequence:
    """A model over all steps: as written, and a copy with intermediate values as outputs."""

    def __init__(
        self, model: onnx.ModelProto, path: Path, source: ExportSource, provider: str
    ) -> None:
        graph = source.graph
        self._source = source
        self._session = OnnxSession(path, provider)
        traced = with_outputs(model, [CODE, *(node.name for node in graph.nodes)])
        self._traced = OnnxSession(traced, provider)
        self._tries_one = True  # a file may answer otherwise to a single sample
        self.parity = Parity(graph, "onnxruntime", _about_session(self._session))

    def add(self, images: Array, code: Array, trace: Trace) -> None:
        every = {
            "image": images,
            "steps": np.ascontiguousarray(code),
            "count": np.array([len(code)], np.int64),
        }
        inputs = {name: every[name] for name in self._session.inputs}
        outputs = self._session.run(inputs)
        logits = outputs.pop("logits")
        self.parity.seconds = self._session.seconds
        layers = self._traced.run(inputs)
        # Values inside a Scan cannot become outputs.
        has_layers = any(node.name in layers for node in self.parity.graph.nodes)
        differ = None
        if CODE in layers:
            differ = recoded(self._source, images, code, layers[CODE], self.parity)
        inner = layers if has_layers else None
        self.parity.add(trace, logits, inner, outputs=outputs, recoded=differ)
        if self._tries_one:
            self._tries_one = False
            axes = {"image": 0, "steps": 1}
            one = {k: v.take([0], axes[k]) if k in axes else v for k, v in inputs.items()}
            found = self._session.run(one)
            logits = found.pop("logits")
            first = None if differ is None else differ[:1]
            self.parity.add(_first(trace), logits, outputs=found, recoded=first, again=True)


class OnnxStream:
    """The models `init` and `step`, run in a loop."""

    def __init__(
        self, init: Path, step: Path, model: onnx.ModelProto, source: ExportSource, provider: str
    ) -> None:
        graph = source.graph
        self._source = source
        self._init = OnnxSession(init, provider)
        self._session = OnnxSession(step, provider)
        traced = with_outputs(model, [node.name for node in graph.nodes])
        self._traced = OnnxSession(traced, provider)
        self._tries_one = True
        self.parity = Parity(graph, "onnxruntime", _about_session(self._session))

    def add(self, images: Array, code: Array, trace: Trace) -> None:
        inputs = {"image": images, "steps": np.ascontiguousarray(code)}
        logits, outputs = self._answer(inputs, len(code))
        self.parity.seconds = self._init.seconds + self._session.seconds
        layers = run_stream(self._init, self._traced, inputs, len(code))
        differ = None
        if "image" in self._init.inputs:
            encoded = self._init.run({"image": images})["steps"]
            differ = recoded(self._source, images, code, encoded, self.parity)
        self.parity.add(trace, logits, layers, outputs=outputs, recoded=differ)
        if self._tries_one:
            self._tries_one = False
            one = {"image": images[:1], "steps": np.ascontiguousarray(code[:, :1])}
            logits, outputs = self._answer(one, len(code))
            first = None if differ is None else differ[:1]
            self.parity.add(_first(trace), logits, outputs=outputs, recoded=first, again=True)

    def _answer(self, inputs: dict[str, Array], steps: int) -> tuple[Array, dict[str, Array]]:
        """Return the answer of the loop, and the outputs of all steps."""
        found = run_stream(self._init, self._session, inputs, steps)
        found["logits_per_step"] = found.pop("logits")
        return self.parity.graph.answer.of(found["logits_per_step"]), found


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
            logits = found[OUTPUT][0]
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
        steps = input_of(self.parity.graph, code)[None] if self._unrolled else code
        try:
            outputs = self._net.run(steps)
            logits = outputs[0] if self._unrolled else self.parity.graph.answer.of(outputs)
        except Exception as error:  # whatever another package raises
            self.parity.error = f"run failed: {one_line(error)}"
            return
        self.parity.seconds = self._net.seconds
        if logits.shape != trace.logits.shape[1:]:
            self.parity.error = f"its output has the shape {logits.shape}"
            return
        self.parity.add(trace, logits)


def checks_of_onnx(
    models: Mapping[str, onnx.ModelProto], paths: Mapping[str, Path], source: ExportSource
) -> list[Check]:
    """Return the checks of ONNX files, on the CPU and on CUDA if onnxruntime really uses it."""
    found: list[Check] = []
    for provider in providers():
        if "step" in models:
            check: Check = OnnxStream(
                paths["init"], paths["step"], models["step"], source, provider
            )
        else:
            check = OnnxSequence(models["model"], paths["model"], source, provider)
        if check.parity.about["provider"] == provider or provider == CPU:
            found.append(check)
    return found


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


def _first(trace: Trace) -> Trace:
    """Return the trace of the first sample."""
    values, distances = (
        {name: part[:, :1] for name, part in parts.items()}
        for parts in (trace.values, trace.distances)
    )
    return Trace(values, distances, trace.logits[:, :1])


def driven_onnx(models: Mapping[str, onnx.ModelProto], graph: Graph) -> Driven:
    """Drive the layers of ONNX models by random input; a file may lack what it is asked for."""
    read, run = layers_of(models, graph)
    steps = None if isinstance(run, SequenceLayers) else min(graph.steps, MAX_STEPS)
    return _driven(read, "onnxruntime", run, steps=steps)


def driven_nir(read: nir.NIRGraph, graph: Graph, *, unrolled: bool) -> Driven:
    """Drive the layers of a NIR file by random input."""
    layers = UnrolledLayers(read, graph) if unrolled else LifLayers(read, graph)
    return _driven(graph, "numpy, from the file", layers, has_value=layers.has_value)


def _driven(graph: Graph, runtime: str, run: Runner, **options: Any) -> Driven:
    try:
        return drive(graph, runtime, run, **options)
    except (AsnnError, KeyError, ValueError, IndexError, TypeError) as error:
        return Driven(runtime, fault=f"a layer alone: {one_line(error)}")


def _of_steps(graph: Graph, found: Mapping[str, Array]) -> dict[str, Array]:
    """Return the values of layers over time, `[T, B, ...]`, from a graph unrolled in space."""
    layers = {}
    for node in graph.nodes:
        names = [step_name(graph, node.name, t) for t in range(graph.steps)]
        # The steps of the readout are divided by T, as terms of the mean.
        if node.name != graph.output and all(name in found for name in names):
            layers[node.name] = np.stack([found[name][0] for name in names])
    return layers


def _about_session(session: OnnxSession) -> dict[str, Any]:
    import onnxruntime

    return {"version": onnxruntime.__version__, "provider": session.provider}


def one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
