"""What every verification runs: the network in torch, the graph before a change, layers alone."""

from __future__ import annotations

import time
from typing import Any, Protocol

import torch

from ...core.errors import AsnnError
from ..graph.interpreter import Trace
from ..graph.ir import Array, Graph
from ..source import ExportSource
from .driving import Driven, Runner, drive
from .parity import Parity


class Check(Protocol):
    """A runtime that is compared with the graph."""

    parity: Parity

    def add(self, images: Array, code: Array, trace: Trace) -> None:
        """Compare a batch."""
        ...


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
        graph = self.parity.graph
        answer = graph.answer.of(after.logits, after.noise.get(graph.answer_noise))
        self.parity.add(before, answer, after.values)


def driven(graph: Graph, runtime: str, run: Runner, **options: Any) -> Driven:
    """Drive the layers of a file by random input; it may lack what it is asked for."""
    try:
        return drive(graph, runtime, run, **options)
    except (AsnnError, KeyError, ValueError, IndexError, TypeError) as error:
        return Driven(runtime, fault=f"a layer alone: {one_line(error)}")


def one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
