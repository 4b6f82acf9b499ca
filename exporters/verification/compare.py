"""Whether a written file computes what the network does, in every runtime at hand.

The file is read back and run on real samples; what it computes is compared with the frozen graph,
layer by layer where the runtime tells, and the graph with the network that it was made of.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import nir
import numpy as np
import onnx
import torch

from ...coding.thresholds import QuantileThresholds
from ...core.errors import AsnnError, ConfigError
from ..graph.interpreter import Trace, run
from ..graph.ir import Array, Graph
from ..nir.interpreter import run_nir
from ..nir.unrolled import OUTPUT, input_of, step_name
from ..onnx.runtime import CPU, OnnxSession, providers, run_stream, with_outputs
from ..source import BATCH, ExportSource, Samples
from .parity import CODE, Parity, count_near_threshold
from .simulators import SIMULATORS, Imported, Simulator

# Of a standardised pixel from a code's threshold: sums over a whole image come before it.
CODE_MARGIN = 5e-6
MEMORY = 1 << 30  # bytes, about, for values of layers


class Check(Protocol):
    """One comparison with the graph."""

    parity: Parity

    def add(self, images: Array, code: Array, trace: Trace) -> None:
        """Compare a batch."""
        ...


@dataclass(frozen=True)
class Report:
    """What a verification found.

    Attributes:
        parities: of every runtime.
        samples: what was compared on.
        accuracy: of the graph, by name, where the classes are known.
        near_threshold: membranes within 1e-6 of the threshold, by layer.
        spikes: for each sample, by layer.
        quiet: layers that fire never or always on these samples, so that little is compared there.
    """

    parities: list[Parity]
    samples: Samples
    accuracy: dict[str, float]
    near_threshold: dict[str, int]
    spikes: dict[str, float]
    quiet: list[str]

    @property
    def fault(self) -> str | None:
        """The first difference that makes the file unverified."""
        for parity in self.parities:
            if parity.gates and not parity.agrees:
                return f"{parity.runtime}: {parity.verdict}"
        return None

    def as_dict(self) -> dict[str, Any]:
        """Return what `parity.json` holds."""
        return {
            "verified": self.fault is None,
            "first_difference": self.fault,
            "samples": {"from": self.samples.name, "number": len(self.samples)},
            "accuracy": self.accuracy,
            "spikes_per_sample": self.spikes,
            "layers_without_variety": self.quiet,
            "membranes_within_1e-6_of_threshold": self.near_threshold,
            "runtimes": [parity.as_dict() for parity in self.parities],
            "versions": _versions(),
        }


def compare(
    subject: ExportSource,
    samples: Samples,
    checks: Sequence[Check],
    *,
    original: Graph | None = None,
) -> Report:
    """Run all checks over all samples.

    Args:
        subject: what the file was written from; its graph is what the file is held to.
        samples: to compare on.
        checks: the runtimes.
        original: the graph before weights were rounded or schedules approximated, if they were;
            the network is then held to this one, and the loss is measured.
    """
    if not len(samples):
        raise ConfigError("there are no samples to compare on", remedy="give one or more")
    network = Eager(original or subject.graph, subject)
    changed = None if original is None else Changed(original)
    rights = {"graph": 0, "original": 0}
    near: dict[str, int] = {}
    quiet = {node.name for node in subject.graph.neurons}  # fires never, or always
    spikes: dict[str, float] = {node.name: 0.0 for node in subject.graph.neurons}
    for images, place in samples.batches(samples_at_once(subject.graph)):
        code = subject.encode(images)  # once: a random code would draw anew
        trace = run(subject.graph, code)
        before = trace if original is None else run(original, code)
        network.add(images, code, before)
        if changed is not None:
            changed.add_traces(before, trace)
        for check in checks:
            if check.parity.error is None:
                _add(check, images, code, trace)
        for name, count in count_near_threshold(subject.graph, trace).items():
            near[name] = near.get(name, 0) + count
        for name in spikes:
            spikes[name] += float(trace.values[name].sum(dtype=np.float64)) / len(samples)
        for name, values in trace.values.items():
            if name in quiet and bool((values != values.flat[0]).any()):
                quiet.discard(name)
        if samples.labels is not None:
            labels = samples.labels[place]
            rights["graph"] += int((trace.logits.mean(0).argmax(1) == labels).sum())
            rights["original"] += int((before.logits.mean(0).argmax(1) == labels).sum())
    accuracy = {}
    if samples.labels is not None and len(samples):
        accuracy["graph"] = rights["graph"] / len(samples)
        if original is not None:
            accuracy["network"] = rights["original"] / len(samples)
    parities = [network.parity, *(check.parity for check in checks)]
    parities += [] if changed is None else [changed.parity]
    return Report(parities, samples, accuracy, near, spikes, [n for n in spikes if n in quiet])


def samples_at_once(graph: Graph) -> int:
    """Return how many samples to compare together: the values of all layers are held thrice, of
    the graph, of the network or the file, and of what is compared."""
    values = sum(math.prod(shape) for shape in graph.shapes.values())
    values += sum(math.prod(graph.shapes[node.name]) for node in graph.neurons)  # distances
    return max(1, min(BATCH, MEMORY // (3 * 4 * values * graph.steps)))


def _add(check: Check, images: Array, code: Array, trace: Trace) -> None:
    """Compare a batch; a file that is of another network may not even run."""
    try:
        check.add(images, code, trace)
    except (AsnnError, KeyError, ValueError, IndexError) as error:
        check.parity.error = _line(error)


def recoded(
    subject: ExportSource, images: Array, code: Array, found: Array, parity: Parity
) -> Array:
    """Return the samples whose code differs because a value lies on a threshold, `[B]`.

    Quantile codes standardise an image, in which runtimes may differ by the last digit; all other
    codes compare pixels as they are, in which they may not.
    """
    differs = np.broadcast_to(found, code.shape) != code
    samples = differs.reshape(len(code), len(images), -1).any((0, 2))
    if not samples.any():
        return samples
    thresholds = getattr(getattr(subject.coding, "inner", subject.coding), "thresholds", None)
    near = np.zeros(images.shape, bool)
    if isinstance(thresholds, QuantileThresholds):
        near = thresholds.distance(torch.from_numpy(images)).numpy() <= CODE_MARGIN
    wrong = (differs.any(0) & ~near).reshape(len(images), -1).any(1)
    if wrong.any():
        parity.blame_encoder(int(wrong.sum()))
    return samples


class Eager:
    """The network itself, in torch."""

    def __init__(self, graph: Graph, subject: ExportSource) -> None:
        self._eager = subject.eager
        self.parity = Parity(graph, "torch", {"version": torch.__version__})

    def add(self, images: Array, code: Array, trace: Trace) -> None:
        started = time.perf_counter()
        answer = self._eager(torch.from_numpy(code))
        self.parity.seconds += time.perf_counter() - started
        spikes = answer.spikes
        layers = None if spikes is None else {k: v.numpy() for k, v in spikes.items()}
        self.parity.add(trace, answer.logits.numpy().mean(0), layers)


class Changed:
    """What rounding or approximation has changed, against the original graph; for information."""

    def __init__(self, graph: Graph) -> None:
        self.parity = Parity(graph, "before the change", gates=False)

    def add_traces(self, before: Trace, after: Trace) -> None:
        """Compare a batch."""
        self.parity.add(before, after.logits.mean(0), after.values)


class OnnxSequence:
    """A model over all steps, as it is and once more with its inner values told."""

    def __init__(
        self, model: onnx.ModelProto, path: Path, subject: ExportSource, provider: str
    ) -> None:
        graph = subject.graph
        self._subject = subject
        self._plain = OnnxSession(path, provider)
        told = with_outputs(model, [CODE, *(node.name for node in graph.nodes)])
        self._told = OnnxSession(told, provider)
        self.parity = Parity(graph, "onnxruntime", _about_session(self._plain))

    def add(self, images: Array, code: Array, trace: Trace) -> None:
        every = {
            "image": images,
            "steps": np.ascontiguousarray(code),
            "count": np.array([len(code)], np.int64),
        }
        inputs = {name: every[name] for name in self._plain.inputs}
        answer = self._plain.run(inputs)["logits"]
        self.parity.seconds = self._plain.seconds
        layers = self._told.run(inputs)
        # What is inside of a Scan cannot be told.
        told = any(node.name in layers for node in self.parity.graph.neurons)
        otherwise = None
        if CODE in layers:
            otherwise = recoded(self._subject, images, code, layers[CODE], self.parity)
        self.parity.add(trace, answer, layers if told else None, recoded=otherwise)


class OnnxStream:
    """The models `init` and `step`, run in a loop."""

    def __init__(
        self, init: Path, step: Path, model: onnx.ModelProto, subject: ExportSource, provider: str
    ) -> None:
        graph = subject.graph
        self._subject = subject
        self._init = OnnxSession(init, provider)
        self._plain = OnnxSession(step, provider)
        told = with_outputs(model, [node.name for node in graph.nodes])
        self._told = OnnxSession(told, provider)
        self.parity = Parity(graph, "onnxruntime", _about_session(self._plain))

    def add(self, images: Array, code: Array, trace: Trace) -> None:
        inputs = {"image": images, "steps": np.ascontiguousarray(code)}
        answer = run_stream(self._init, self._plain, inputs, len(code))["logits"].mean(0)
        self.parity.seconds = self._init.seconds + self._plain.seconds
        layers = run_stream(self._init, self._told, inputs, len(code))
        otherwise = None
        if "image" in self._init.inputs:
            encoded = self._init.run({"image": images})["steps"]
            otherwise = recoded(self._subject, images, code, encoded, self.parity)
        self.parity.add(trace, answer, layers, recoded=otherwise)


class NirAlone:
    """A NIR graph in numpy, from the file alone."""

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
            answer = found[OUTPUT][0]
        else:
            found = run_nir(self._read, code)
            layers = {node.name: found[node.name] for node in graph.neurons}
            answer = found[OUTPUT].mean(0)
        self.parity.seconds += time.perf_counter() - started
        self.parity.add(trace, answer, layers)


class NirSimulator:
    """A NIR file in a simulator that we did not write."""

    def __init__(self, simulator: Simulator, path: Path, graph: Graph, *, unrolled: bool) -> None:
        self._unrolled = unrolled
        self.parity = Parity(graph, simulator.name, {"version": simulator.version})
        self._net: Imported | None = None
        try:
            self._net = simulator.open(path)
        except Exception as error:  # whatever another package raises
            self.parity.error = f"import failed: {_line(error)}"

    def add(self, images: Array, code: Array, trace: Trace) -> None:
        assert self._net is not None
        steps = input_of(self.parity.graph, code)[None] if self._unrolled else code
        try:
            answer = self._net.run(steps).mean(0)
        except Exception as error:  # whatever another package raises
            self.parity.error = f"run failed: {_line(error)}"
            return
        self.parity.seconds = self._net.seconds
        if answer.shape != trace.logits.shape[1:]:
            self.parity.error = f"it answers with the shape {answer.shape}"
            return
        self.parity.add(trace, answer)


def checks_of_onnx(
    models: Mapping[str, onnx.ModelProto], paths: Mapping[str, Path], subject: ExportSource
) -> list[Check]:
    """Return the checks of ONNX files, on the CPU and on CUDA where that really runs."""
    found: list[Check] = []
    for provider in providers():
        if "step" in models:
            check: Check = OnnxStream(
                paths["init"], paths["step"], models["step"], subject, provider
            )
        else:
            check = OnnxSequence(models["model"], paths["model"], subject, provider)
        if check.parity.about["provider"] == provider or provider == CPU:
            found.append(check)
    return found


def checks_of_nir(
    read: nir.NIRGraph, path: Path, graph: Graph, *, form: str, exact: Sequence[str]
) -> list[Check]:
    """Return the checks of a NIR file: the file alone, then every installed simulator.

    Args:
        read: the graph in the file.
        path: the file.
        graph: what it is held to.
        form: `pure`, `portable` or `lif`.
        exact: simulators that must agree; of the others it is told what they compute.
    """
    unrolled = form != "lif"
    checks: list[Check] = [NirAlone(read, graph, unrolled=unrolled)]
    for simulator in SIMULATORS.values():
        if simulator.version is None or simulator.name not in exact:
            continue
        checks.append(NirSimulator(simulator, path, graph, unrolled=unrolled))
    return checks


def _of_steps(graph: Graph, found: Mapping[str, Array]) -> dict[str, Array]:
    """Return the values of layers over time, `[T, B, ...]`, of a graph unrolled in space."""
    layers = {}
    for node in graph.nodes:
        names = [step_name(graph, node.name, t) for t in range(graph.steps)]
        # The readout's steps are shares of the mean.
        if node.name != graph.output and all(name in found for name in names):
            layers[node.name] = np.stack([found[name][0] for name in names])
    return layers


def _about_session(session: OnnxSession) -> dict[str, Any]:
    import onnxruntime

    return {"version": onnxruntime.__version__, "provider": session.provider}


def _versions() -> dict[str, str]:
    found = {}
    for package in ("asnn", "torch", "numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "nir"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
