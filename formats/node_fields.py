"""What a NIR node may hold: the fields of each type, their shapes, and the range of values."""

from __future__ import annotations

from typing import Any

import numpy as np

from .finite import is_finite
from .opening import clean

DEEPEST_GRAPH = 8
MOST_NODES = 100_000
LARGEST_SHAPE = 1 << 31  # values in one layer

_NEURON = {"v_leak": "values", "v_reset": "values", "v_threshold": "values", "r": "values"}
_WINDOW = {"stride": "positive", "padding": "padding"}
_CONV = {
    "weight": "values",
    "bias": "values",
    **_WINDOW,
    "dilation": "positive",
    "groups": "positive",
    "input_shape": "shape",
}
# For each type its fields, and what each may be. `values` are finite numbers.
FIELDS: dict[str, dict[str, str]] = {
    "Input": {"shape": "shape"},
    "Output": {"shape": "shape"},
    "Affine": {"weight": "values", "bias": "values"},
    "Linear": {"weight": "values"},
    "Scale": {"scale": "values"},
    "Conv1d": _CONV,
    "Conv2d": _CONV,
    "SumPool2d": {"kernel_size": "positive", **_WINDOW},
    "AvgPool2d": {"kernel_size": "positive", **_WINDOW},
    "Flatten": {"start_dim": "whole", "end_dim": "whole", "input_type": "shape"},
    "Delay": {"delay": "not negative"},
    "Threshold": {"threshold": "values"},
    "I": {"r": "values"},
    "IF": {name: _NEURON[name] for name in ("r", "v_threshold", "v_reset")},
    "LI": {"tau": "time", "r": "values", "v_leak": "values"},
    "LIF": {"tau": "time", **_NEURON},
    "CubaLI": {
        "tau_mem": "time",
        "tau_syn": "time",
        "r": "values",
        "v_leak": "values",
        "w_in": "values",
    },
    "CubaLIF": {"tau_mem": "time", "tau_syn": "time", **_NEURON, "w_in": "values"},
}
OPTIONAL = {"v_reset", "input_shape", "input_type", "w_in"}
# Fields that count as parameters of a network.
PARAMETERS = {"weight", "bias", "scale", "delay", "threshold", "r", "tau", "tau_mem", "tau_syn"}
PARAMETERS |= {"v_leak", "v_reset", "v_threshold", "w_in"}


class Fault(ValueError):
    """A node or an edge that no network has."""


def check_graph(graph: dict[str, Any]) -> None:
    """Check a graph as it lies in a file, and the graphs inside it.

    Raises:
        Fault: what is wrong, and where.
    """
    count = _check(graph, "", DEEPEST_GRAPH)
    if count == 0:
        raise Fault("it holds no nodes")
    types = {node.get("type") for node in graph["nodes"].values()}
    for end in ("Input", "Output"):
        if end not in types:
            raise Fault(f"it has no {end} node")


def _check(graph: dict[str, Any], where: str, depth: int) -> int:
    name = f"the graph {where}" if where else "the graph"
    if graph.get("type") != "NIRGraph":
        raise Fault(f"{name} has the type {clean(graph.get('type'), 40)!r}, not NIRGraph")
    if depth == 0:
        raise Fault(f"graphs are nested more than {DEEPEST_GRAPH} deep")
    unknown = set(graph) - {"type", "nodes", "edges", "metadata"}
    if unknown:
        raise Fault(f"{name} has the unknown field {clean(sorted(unknown)[0], 40)!r}")
    nodes = graph.get("nodes")
    if not isinstance(nodes, dict):
        raise Fault(f"{name} has no nodes")
    count = 0
    for key, node in nodes.items():
        path = f"{where}/{key}" if where else key
        if isinstance(node, dict) and node.get("type") == "NIRGraph":
            count += _check(node, path, depth - 1)
        else:
            _check_node(clean(path, 80), node)
        count += 1
    if count > MOST_NODES:
        raise Fault(f"it has {count:,} nodes, more than {MOST_NODES:,}")
    _check_metadata(graph, name)
    graph["edges"] = _edges(graph.get("edges"), nodes, name)
    return count


def _edges(edges: Any, nodes: dict[str, Any], name: str) -> list[tuple[str, str]]:
    """Return edges as pairs of names, each of which is a node."""
    edges = np.asarray(() if edges is None else edges)
    if edges.size == 0:
        return []
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype != object:
        raise Fault(f"the edges of {name} are not pairs of names")
    pairs: list[tuple[str, str]] = [(str(a), str(b)) for a, b in edges.tolist()]
    seen = set()
    for pair in pairs:
        for end in pair:
            if end not in nodes:
                raise Fault(f"an edge names the node {clean(end, 60)!r}, which is not there")
        if pair in seen:
            raise Fault(f"the edge from {clean(pair[0], 40)!r} to {clean(pair[1], 40)!r} is double")
        seen.add(pair)
    return pairs


def _check_node(name: str, node: Any) -> None:
    kind = node.get("type") if isinstance(node, dict) else None
    if not isinstance(kind, str):
        raise Fault(f"the node {name!r} has no type")
    if kind not in FIELDS:
        raise Fault(f"the node {name!r} has the unknown type {clean(kind, 40)!r}")
    fields = FIELDS[kind]
    unknown = set(node) - set(fields) - {"type", "metadata"}
    if unknown:
        raise Fault(f"{kind} {name!r} has the unknown field {clean(sorted(unknown)[0], 40)!r}")
    for field, rule in fields.items():
        if field in node:
            _check_field(f"{field} of {kind} {name!r}", node[field], rule)
        elif field not in OPTIONAL:
            raise Fault(f"{kind} {name!r} has no {field}")
    _check_metadata(node, f"{kind} {name!r}")
    _check_shapes(f"{kind} {name!r}", kind, node)


def _check_field(what: str, value: Any, rule: str) -> None:
    if rule == "padding" and isinstance(value, str):
        if value not in ("same", "valid"):
            raise Fault(f"{what} is {clean(value, 40)!r}")
        return
    if isinstance(value, dict | str):
        raise Fault(f"{what} is not a number")
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise Fault(f"{what} has the type {array.dtype}")
    if not is_finite(array):
        raise Fault(f"{what} holds values that are not finite")
    if rule == "values":
        return
    if rule in ("time", "not negative"):
        if array.size and (array.min() < 0 or (rule == "time" and array.min() == 0)):
            raise Fault(f"{what} holds {array.min():g}, a time that cannot be")
        return
    if array.size > 64 or np.any(array != np.trunc(array)):
        raise Fault(f"{what} does not hold whole numbers")
    least = {"positive": 1, "padding": 0, "shape": 1, "whole": -64}[rule]
    if array.size and (array.min() < least or array.max() > LARGEST_SHAPE):
        raise Fault(f"{what} is {clean(array.tolist(), 60)}")
    if rule == "shape" and np.prod(array.astype(float)) > LARGEST_SHAPE:
        raise Fault(f"{what} is {clean(array.tolist(), 60)}, more than a layer holds")


def _check_metadata(node: dict[str, Any], what: str) -> None:
    if not isinstance(node.get("metadata", {}), dict):
        raise Fault(f"the metadata of {what} are not named values")


def _check_shapes(what: str, kind: str, node: dict[str, Any]) -> None:
    if kind in ("Affine", "Linear", "Conv1d", "Conv2d"):
        shape, bias = np.shape(node["weight"]), np.shape(node.get("bias", 0))
        axes = {"Conv1d": 3, "Conv2d": 4}.get(kind)
        if len(shape) < 2 or 0 in shape or (axes is not None and len(shape) != axes):
            raise Fault(f"the weight of {what} has the shape {list(shape)}")
        outputs = shape[0] if axes else shape[-2]
        if "bias" in node and bias[-1:] != (outputs,):
            raise Fault(f"the bias of {what} has the shape {list(bias)}, not [{outputs}]")
        groups = int(np.max(node.get("groups", 1)))
        if outputs % groups:
            raise Fault(f"{what} has {outputs} outputs in {groups} groups")
    values = [f for f, rule in FIELDS[kind].items() if rule in ("values", "time") and f in node]
    if {"r", "v_leak", "v_threshold"} & set(values):
        shapes = {np.shape(node[field]) for field in values if field != "w_in"}
        if len(shapes) > 1:
            shown = ", ".join(str(list(shape)) for shape in sorted(shapes))
            raise Fault(f"the parameters of {what} have different shapes: {shown}")
