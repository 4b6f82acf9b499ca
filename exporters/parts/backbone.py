"""The spiking part of a network with an accumulator as a source of exports of its own."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..graph.answer import Answer
from ..graph.interpreter import evaluate
from ..graph.ir import Array, Graph
from ..source import ExportSource, NetworkOutput, Samples
from .split import split


def backbone_of(source: ExportSource) -> ExportSource:
    """Return the network up to its accumulator; its answer are the sums of all windows.

    Raises:
        ConfigError: the network does not come in two parts.
    """
    parts = split(source.graph)
    graph = replace(parts.backbone, answer=Answer("sums"))

    def eager(code: Tensor) -> NetworkOutput:
        spikes = source.eager(code).spikes
        assert spikes is not None, "networks of asnn record their spikes"
        own = {name: each for name, each in spikes.items() if name in graph.shapes}
        found = {name: each.numpy() for name, each in own.items()}
        return NetworkOutput(torch.from_numpy(_value(graph, graph.output, found)), own)

    return replace(source, graph=graph, eager=eager)


def without_labels(samples: Samples | None) -> Samples | None:
    """Return samples without their classes, which sums do not answer with."""
    return samples and replace(samples, labels=None)


def _value(graph: Graph, name: str, known: dict[str, Array]) -> Array:
    """Return the value of a node, behind those that are known."""
    if name not in known:
        node = next(each for each in graph.nodes if each.name == name)
        known[name] = evaluate(node, [_value(graph, each, known) for each in node.inputs])
    return known[name]
