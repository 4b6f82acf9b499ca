"""ONNX files in onnxruntime, for their verification: as a whole, and each layer alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from ...coding.images.thresholds import QuantileThresholds
from ..graph.interpreter import Trace
from ..graph.ir import Array, Graph
from ..parts.split import split
from ..source import ExportSource
from ..verification.driving import Driven
from ..verification.parity import CODE, Parity
from ..verification.runtimes import Check, driven
from .layers_alone import StepLayers, layers_of
from .runtime import CPU, OnnxSession, providers, run_parts, run_stream, run_windows, with_outputs

# Distance of a standardised pixel to a threshold of the code: the standardisation sums an image.
CODE_MARGIN = 5e-6
MAX_STEPS = 32  # of layers that are driven step by step


def checks_of_onnx(
    models: Mapping[str, onnx.ModelProto], paths: Mapping[str, Path], source: ExportSource
) -> list[Check]:
    """Return the checks of ONNX files, on the CPU and on CUDA if onnxruntime really uses it."""
    found: list[Check] = []
    for provider in providers():
        if "head" in models:
            check: Check = OnnxParts(models, paths, source, provider)
        elif "step" in models:
            check = OnnxStream(paths["init"], paths["step"], models["step"], source, provider)
        else:
            check = OnnxSequence(models["model"], paths["model"], source, provider)
        if check.parity.about["provider"] == provider or provider == CPU:
            found.append(check)
    return found


def driven_onnx(models: Mapping[str, onnx.ModelProto], graph: Graph) -> Driven:
    """Drive the layers of ONNX models by random input; a file may lack what it is asked for."""
    read, run = layers_of(models, graph)
    steps = min(graph.steps, MAX_STEPS) if isinstance(run, StepLayers) else None
    return driven(read, "onnxruntime", run, steps=steps)


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
            **trace.noise,
        }
        inputs = {name: every[name] for name in self._session.inputs}
        outputs = self._session.run(inputs)
        logits = outputs.pop("logits")
        self._compare_boxes(logits, outputs)
        self.parity.seconds = self._session.seconds
        layers = self._traced.run(inputs)
        # Values inside a Scan cannot become outputs.
        has_layers = any(node.name in layers for node in self.parity.graph.nodes)
        differ = None
        if CODE in layers:
            differ = recoded(self._source, images, code, layers[CODE], self.parity)
        inner = layers if has_layers else None
        self.parity.add(trace, logits, inner, outputs=outputs, recoded=differ, same_run=False)
        if self._tries_one:
            self._tries_one = False
            axes = {"image": 0, "steps": 1} | dict.fromkeys(trace.noise, 1)
            one = {k: v.take([0], axes[k]) if k in axes else v for k, v in inputs.items()}
            found = self._session.run(one)
            logits = found.pop("logits")
            self._compare_boxes(logits, found)
            first = None if differ is None else differ[:1]
            self.parity.add(_first(trace), logits, outputs=found, recoded=first, again=True)

    def _compare_boxes(self, answer: Array, outputs: dict[str, Array]) -> None:
        """Compare boxes with those that the task finds in the answer of the file."""
        found, rule = outputs.pop("detections", None), self._source.boxes
        if found is None:
            return
        if rule is None:
            self.parity.add_output_mismatch("the file has boxes, the network none")
        elif rule.differing(answer, found).any():
            number = int(rule.differing(answer, found).sum())
            self.parity.add_output_mismatch(f"the boxes of {number} samples differ")


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
        inputs = {"image": images, "steps": np.ascontiguousarray(code), **trace.noise}
        logits, outputs = self._answer(inputs, len(code))
        self.parity.seconds = self._init.seconds + self._session.seconds
        layers = run_stream(self._init, self._traced, inputs, len(code))
        differ = None
        if "image" in self._init.inputs:
            encoded = self._init.run({"image": images})["steps"]
            differ = recoded(self._source, images, code, encoded, self.parity)
        self.parity.add(trace, logits, layers, outputs=outputs, recoded=differ, same_run=False)
        if self._tries_one:
            self._tries_one = False
            one = {"image": images[:1], "steps": np.ascontiguousarray(code[:, :1])}
            one |= _first(trace).noise
            logits, outputs = self._answer(one, len(code))
            first = None if differ is None else differ[:1]
            self.parity.add(_first(trace), logits, outputs=outputs, recoded=first, again=True)

    def _answer(self, inputs: dict[str, Array], steps: int) -> tuple[Array, dict[str, Array]]:
        """Return the answer of the loop, and the outputs of all steps."""
        found = run_stream(self._init, self._session, inputs, steps)
        found["logits_per_step"] = found.pop("logits")
        graph = self.parity.graph
        return graph.answer.of(found["logits_per_step"], inputs.get(graph.answer_noise)), found


class OnnxParts:
    """The models of a network with an accumulator, the last one run in a loop over windows:
    `backbone` and `head`, or `init`, `step` and `head`."""

    def __init__(
        self,
        models: Mapping[str, onnx.ModelProto],
        paths: Mapping[str, Path],
        source: ExportSource,
        provider: str,
    ) -> None:
        graph = source.graph
        self._source = source
        self._sums = split(graph).sums
        names = [CODE, *(node.name for node in graph.nodes if node.name != self._sums)]
        self._sessions = {name: OnnxSession(paths[name], provider) for name in models}
        self._traced = {
            name: OnnxSession(with_outputs(model, names), provider)
            for name, model in models.items()
        }
        self._tries_one = True
        self.parity = Parity(graph, "onnxruntime", _about_session(self._sessions["head"]))

    def add(self, images: Array, code: Array, trace: Trace) -> None:
        inputs = {"image": images, "steps": np.ascontiguousarray(code)}
        logits, outputs = self._answer(inputs)
        self.parity.seconds = sum(each.seconds for each in self._sessions.values())
        layers = self._run(self._traced, inputs)
        layers[self._sums] = layers.pop("sums")
        differ = None
        encoder = self._traced.get("init", self._traced.get("backbone"))
        if encoder is not None and "image" in encoder.inputs:
            layers.pop(CODE, None)
            encoded = encoder.run({"image": images})[CODE]
            differ = recoded(self._source, images, code, encoded, self.parity)
        self.parity.add(trace, logits, layers, outputs=outputs, recoded=differ, same_run=False)
        if self._tries_one:
            self._tries_one = False
            one = {"image": images[:1], "steps": np.ascontiguousarray(code[:, :1])}
            logits, outputs = self._answer(one)
            first = None if differ is None else differ[:1]
            self.parity.add(_first(trace), logits, outputs=outputs, recoded=first, again=True)

    def _run(self, sessions: Mapping[str, OnnxSession], inputs: dict[str, Array]) -> Any:
        if "backbone" in sessions:
            return run_parts(sessions["backbone"], sessions["head"], inputs)
        graph = self.parity.graph
        parts = sessions["init"], sessions["step"], sessions["head"]
        return run_windows(*parts, inputs, graph.steps, graph.steps // graph.outputs)

    def _answer(self, inputs: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
        """Return the answer of the loop, and the outputs of all windows."""
        outputs = self._run(self._sessions, inputs)["logits"]
        return self.parity.graph.answer.of(outputs), {"logits_per_step": outputs}


def _first(trace: Trace) -> Trace:
    """Return the trace of the first sample."""
    values, distances, noise = (
        {name: part[:, :1] for name, part in parts.items()}
        for parts in (trace.values, trace.distances, trace.noise)
    )
    return Trace(values, distances, trace.logits[:, :1], noise)


def _about_session(session: OnnxSession) -> dict[str, Any]:
    import onnxruntime

    return {"version": onnxruntime.__version__, "provider": session.provider}
