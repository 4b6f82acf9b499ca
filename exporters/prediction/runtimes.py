"""Exported files as runtimes of predictions: ONNX in onnxruntime, NIR in asnn's interpreter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...coding.base import Coding
from ...coding.draws import drawing
from ...coding.samples import Batch
from ...measure.prediction.runtimes import Decided, Outputs
from ...models.readouts import Readout
from ..draws import draw_noise, keys_of
from ..graph.ir import Array, Graph
from ..graph.noise import NoiseInput
from ..nir.interpreter import run_nir
from ..nir.unrolled import OUTPUT, input_of, outputs_of_steps
from ..onnx.runtime import OnnxSession, run_parts, run_stream, run_windows

if TYPE_CHECKING:
    import nir

CHUNK = 32  # samples of the interpreter at a time, which holds the values of all nodes
SPIKES = ("spikes", "an exported file does not give its spikes")


def encoded(coding: Coding, x: Batch, first: int) -> Array:
    """Return the code of a batch `[T, B, ...]`, whose first sample has the number `first`."""
    with torch.no_grad(), drawing(keys_of(first, len(x))):
        code: Tensor = coding.encode(x)  # type: ignore[arg-type]
    return np.ascontiguousarray(code.numpy())


class OnnxRuntime:
    """ONNX models in onnxruntime.

    Args:
        sessions: of `model`, of `init` and `step` of a stream, or of `backbone` and `head`;
            of a stream of windows also `head`.
        total: number of time steps T.
        coding: of the samples, for models that take encoded steps.
        steps: use the first steps only.
        noise: uniform numbers that the models take: those of an evaluation are drawn.
        readout: of their outputs; None for that of the network.
        every: how many steps an output takes.
    """

    def __init__(
        self,
        sessions: dict[str, OnnxSession],
        total: int,
        *,
        coding: Coding | None = None,
        steps: int | None = None,
        noise: Mapping[str, NoiseInput] | None = None,
        readout: Readout | None = None,
        every: int = 1,
    ) -> None:
        self.readout = readout
        self._sessions = sessions
        self._total = total
        self._steps = steps or total
        self._coding = coding
        self._noise = noise or {}
        self._every = every

    def run(self, x: Batch, first: int, decided: Decided | None = None) -> Outputs:
        keys = keys_of(first, len(x))
        with drawing(keys):  # a readout may draw its decision
            logits = self._logits(x, first, decided, draw_noise(self._noise, keys, self._total))
        return Outputs(torch.from_numpy(logits), reasons=(SPIKES,), every=self._every)

    def _logits(
        self, x: Batch, first: int, decided: Decided | None, noise: dict[str, Array]
    ) -> Array:
        if self._coding is None:
            assert isinstance(x, Tensor)
            given: dict[str, Any] = {"image": x.numpy()}
        else:
            given = {"steps": encoded(self._coding, x, first)}
        given |= noise
        if "backbone" in self._sessions:
            until = _as_arrays(decided)
            both = self._sessions["backbone"], self._sessions["head"]
            return run_parts(*both, given, until)["logits"][: self._steps // self._every]
        if "head" in self._sessions:
            each = self._sessions["init"], self._sessions["step"], self._sessions["head"]
            steps = self._steps - self._steps % self._every
            windows: Array = run_windows(*each, given, steps, self._every, _as_arrays(decided))[
                "logits"
            ]
            return windows
        if "step" in self._sessions:
            init, step = self._sessions["init"], self._sessions["step"]
            until = _as_arrays(decided)
            logits: Array = run_stream(init, step, given, self._steps, until)["logits"]
            return logits
        model = self._sessions["model"]
        if "count" in model.inputs:
            given["count"] = np.array([self._total], np.int64)
        return model.run(given)["logits_per_step"][: self._steps // self._every]


def _as_arrays(decided: Decided | None) -> Callable[[Array], Array] | None:
    if decided is None:
        return None
    return lambda logits: decided(torch.from_numpy(logits)).numpy()


class NirRuntime:
    """A NIR graph in asnn's interpreter.

    An unrolled graph gives the answer alone, which then stands for the outputs of all steps, or
    the outputs of all steps one behind the other.

    Args:
        graph: the nodes.
        coding: of the samples.
        unrolled: whether it runs once, on all steps as channels.
        steps: use the first steps only, of a graph that is not unrolled.
        answers_once: whether an unrolled graph gives the answer alone.
    """

    readout: Readout | None = None

    def __init__(
        self,
        graph: nir.NIRGraph,
        coding: Coding,
        *,
        unrolled: bool,
        steps: int,
        answers_once: bool = True,
    ) -> None:
        self._graph = graph
        self._coding = coding
        self._unrolled = unrolled
        self._steps = steps
        self._answers_once = answers_once

    def run(self, x: Batch, first: int, decided: Decided | None = None) -> Outputs:
        code = encoded(self._coding, x, first)
        parts = [code[:, begin : begin + CHUNK] for begin in range(0, len(x), CHUNK)]
        logits = torch.from_numpy(np.concatenate([self._logits(part) for part in parts], 1))
        if self._unrolled and self._answers_once:
            logits = logits.expand(self._steps, *logits.shape[1:])
        return Outputs(logits, reasons=(SPIKES,))

    def _logits(self, code: Array) -> Array:
        if self._unrolled:
            empty = Graph((), code.shape[2:], len(code), static=self._coding.static)
            steps = input_of(empty, code)[None]
        else:
            steps = code[: self._steps]
        found = run_nir(self._graph, steps, wanted=(OUTPUT,))[OUTPUT]
        if self._unrolled and not self._answers_once:
            return outputs_of_steps(found[0], self._steps)
        return found
