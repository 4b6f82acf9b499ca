"""What a recipe and the weights of a run hold of a NIR file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...core.errors import DataError
from ...formats.errors import sanitize
from ...formats.execution_order import flattened
from .graph import NirGraph
from .nodes import ARRAYS, WINDOWS

if TYPE_CHECKING:
    import nir

# The axes of a sample that a layer takes, by its type.
AXES = {"Linear": 1, "Affine": 1, "Conv1d": 2, "Conv2d": 3, "SumPool2d": 3, "AvgPool2d": 3}


@dataclass(frozen=True)
class NirDescription:
    """A NIR graph in two parts.

    Attributes:
        nodes: as the network `nir` takes them, with the shapes of arrays.
        edges: pairs of names.
        arrays: of each node, by name and field.
        notes: what was read otherwise than the file states it.
    """

    nodes: dict[str, dict[str, Any]]
    edges: list[list[str]]
    arrays: dict[str, dict[str, np.ndarray]]
    notes: list[str]

    @property
    def in_shape(self) -> tuple[int, ...]:
        """The shape of a sample at one step; of the first input, if there are several."""
        return next(tuple(n["shape"]) for n in self.nodes.values() if n["type"] == "Input")

    def give(self, network: NirGraph) -> None:
        """Write the arrays into a network of these nodes.

        Raises:
            DataError: a time constant or another value does not fit into float32.
        """
        with torch.no_grad():
            for name in network.order:
                for field, tensor in network.arrays(name).items():
                    tensor.copy_(torch.from_numpy(np.array(self.arrays[name][field], np.float64)))
                    if not bool(tensor.isfinite().all()):
                        raise DataError(f"{field} of the node {sanitize(name, 60)!r} is too large")
                    if field.startswith("tau") and not bool((tensor > 0).all()):
                        raise DataError(f"{field} of the node {sanitize(name, 60)!r} is too small")


def describe(graph: nir.NIRGraph) -> NirDescription:
    """Return the parts of a graph, nested graphs put in line.

    Raises:
        DataError: a node has a form that no layer has.
    """
    graph = flattened(graph)
    nodes: dict[str, dict[str, Any]] = {}
    arrays: dict[str, dict[str, np.ndarray]] = {}
    for name, node in graph.nodes.items():
        kind = type(node).__name__
        if kind not in {**ARRAYS, **WINDOWS}:
            raise DataError(
                f"the node {sanitize(name, 60)!r} has the type {kind}, which asnn lacks"
            )
        arrays[name] = {field: np.asarray(getattr(node, field)) for field in ARRAYS.get(kind, ())}
        shapes = {field: list(values.shape) for field, values in arrays[name].items()}
        nodes[name] = {"type": kind, **shapes, **_windows(name, node, kind)}
    edges = [[source, target] for source, target in graph.edges]
    notes = _without_batch(nodes, edges)
    return NirDescription(nodes, edges, arrays, notes)


def _windows(name: str, node: Any, kind: str) -> dict[str, Any]:
    """Return the fields of a node that are numbers."""
    if kind == "Input":
        return {"shape": np.ravel(node.input_type["input"]).astype(int).tolist()}
    found: dict[str, Any] = {}
    for field in WINDOWS.get(kind, ()):
        value = getattr(node, field)
        if field == "padding" and isinstance(value, str):
            value = _padding(name, node, value)
        numbers = np.ravel(value).astype(int).tolist()
        found[field] = numbers[0] if len(numbers) == 1 else numbers
    return found


def _padding(name: str, node: Any, value: str) -> list[int]:
    """Return the padding of a convolution that is given by its name."""
    kernel = np.shape(node.weight)[2:]
    if value == "valid":
        return [0] * len(kernel)
    spans = np.broadcast_to(node.dilation, len(kernel)) * (np.array(kernel) - 1)
    if (spans % 2).any() or (np.ravel(node.stride) != 1).any():
        raise DataError(
            f"the padding of {type(node).__name__} {sanitize(name, 60)!r} is 'same'",
            why="its kernel has an even side or its stride is not 1, and sides would be padded "
            "differently",
            remedy="write the padding as numbers",
        )
    return (spans // 2).tolist()


def _without_batch(nodes: Mapping[str, dict[str, Any]], edges: list[list[str]]) -> list[str]:
    """Leave a batch of 1 out of the shape of inputs, which Norse writes into it, where their
    readers have one axis less; return notes."""
    notes = []
    for name, node in nodes.items():
        if node["type"] == "Input" and node["shape"][:1] == [1]:
            axes = {AXES.get(nodes[target]["type"]) for source, target in edges if source == name}
            if axes == {len(node["shape"]) - 1}:
                notes.append(
                    f"the shape {node['shape']} of {name!r} begins with a batch of 1, left out"
                )
                node["shape"] = node["shape"][1:]
    return notes
