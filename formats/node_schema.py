"""The schema of NIR nodes: the fields of each type, their shapes and ranges."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import InvalidFile, sanitize
from .finite import all_finite

MAX_DEPTH = 8
MAX_NODES = 100_000
MAX_LAYER = 1 << 31  # values in one layer

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
# The fields of each type, and the rule of each field. `values` are finite numbers.
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
    "Flatten": {"start_dim": "integer", "end_dim": "integer", "input_type": "shape"},
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
# Fields that are parameters of a network.
PARAMETERS = {"weight", "bias", "scale", "delay", "threshold", "r", "tau", "tau_mem", "tau_syn"}
PARAMETERS |= {"v_leak", "v_reset", "v_threshold", "w_in"}


def check_graph(graph: dict[str, Any]) -> None:
    """Check the tree of a file as a graph, and the graphs inside it; edges become pairs of names.

    Raises:
        InvalidFile: the first field that breaks the schema.
    """
    _refuse_half_written(graph)
    count = _check(graph, "", MAX_DEPTH)
    if count == 0:
        raise InvalidFile("it holds no nodes")
    types = {node.get("type") for node in graph["nodes"].values()}
    for end in ("Input", "Output"):
        if end not in types:
            raise InvalidFile(f"it has no {end} node")


def _refuse_half_written(graph: dict[str, Any]) -> None:
    """Refuse a file whose writer stopped; nir writes the type of a graph and of a node last."""
    if "type" in graph:
        return
    nodes = graph.get("nodes")
    inner = nodes.items() if isinstance(nodes, dict) else ()
    cut = [key for key, node in inner if isinstance(node, dict) and "type" not in node]
    where = f" at its node {sanitize(cut[0], 40)!r}" if cut else ""
    raise InvalidFile(
        f"it was written in part: nir.write stopped{where}, before the type of the graph"
    )


def _check(graph: dict[str, Any], path: str, depth: int) -> int:
    name = f"the graph {path}" if path else "the graph"
    if graph.get("type") != "NIRGraph":
        raise InvalidFile(f"{name} has the type {sanitize(graph.get('type'), 40)!r}, not NIRGraph")
    if depth == 0:
        raise InvalidFile(f"graphs are nested more than {MAX_DEPTH} deep")
    unknown = set(graph) - {"type", "nodes", "edges", "metadata"}
    if unknown:
        raise InvalidFile(f"{name} has the unknown field {sanitize(sorted(unknown)[0], 40)!r}")
    nodes = graph.get("nodes")
    if not isinstance(nodes, dict):
        raise InvalidFile(f"{name} has no nodes")
    count = 0
    for key, node in nodes.items():
        node_path = f"{path}/{key}" if path else key
        if isinstance(node, dict) and node.get("type") == "NIRGraph":
            count += _check(node, node_path, depth - 1)
        else:
            _check_node(sanitize(node_path, 80), node)
        count += 1
    if count > MAX_NODES:
        raise InvalidFile(f"it has {count:,} nodes, more than {MAX_NODES:,}")
    _check_metadata(graph, name)
    graph["edges"] = _edges(graph.get("edges"), nodes, name)
    return count


def _edges(edges: Any, nodes: dict[str, Any], name: str) -> list[tuple[str, str]]:
    """Return edges as pairs of node names."""
    edges = np.asarray(() if edges is None else edges)
    if edges.size == 0:
        return []
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype != object:
        raise InvalidFile(f"the edges of {name} are not pairs of names")
    pairs: list[tuple[str, str]] = [(str(a), str(b)) for a, b in edges.tolist()]
    seen = set()
    for pair in pairs:
        for end in pair:
            if end not in nodes:
                raise InvalidFile(f"an edge names the node {sanitize(end, 60)!r}, which is missing")
        if pair in seen:
            source, target = (sanitize(end, 40) for end in pair)
            raise InvalidFile(f"the edge from {source!r} to {target!r} is stored twice")
        seen.add(pair)
    return pairs


def _check_node(name: str, node: Any) -> None:
    kind = node.get("type") if isinstance(node, dict) else None
    if not isinstance(kind, str):
        raise InvalidFile(f"the node {name!r} has no type")
    if kind not in FIELDS:
        raise InvalidFile(f"the node {name!r} has the unknown type {sanitize(kind, 40)!r}")
    fields = FIELDS[kind]
    unknown = set(node) - set(fields) - {"type", "metadata"}
    if unknown:
        field = sanitize(sorted(unknown)[0], 40)
        raise InvalidFile(f"{kind} {name!r} has the unknown field {field!r}")
    for field, rule in fields.items():
        if field in node:
            _check_field(f"{field} of {kind} {name!r}", node[field], rule)
        elif field not in OPTIONAL:
            raise InvalidFile(f"{kind} {name!r} has no {field}")
    _check_metadata(node, f"{kind} {name!r}")
    _check_shapes(f"{kind} {name!r}", kind, node)


def _check_field(what: str, value: Any, rule: str) -> None:
    if rule == "padding" and isinstance(value, str):
        if value not in ("same", "valid"):
            raise InvalidFile(f"{what} is {sanitize(value, 40)!r}")
        return
    if isinstance(value, dict | str):
        raise InvalidFile(f"{what} is not a number")
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise InvalidFile(f"{what} has the type {array.dtype}")
    if not all_finite(array):
        raise InvalidFile(f"{what} holds values that are not finite")
    if rule == "values":
        return
    if rule in ("time", "not negative"):
        if array.size and (array.min() < 0 or (rule == "time" and array.min() == 0)):
            raise InvalidFile(f"{what} holds {array.min():g}, which is no valid time")
        return
    if array.size > 64 or np.any(array != np.trunc(array)):
        raise InvalidFile(f"{what} does not hold integers")
    minimum = {"positive": 1, "padding": 0, "shape": 1, "integer": -64}[rule]
    if array.size and (array.min() < minimum or array.max() > MAX_LAYER):
        raise InvalidFile(f"{what} is {sanitize(array.tolist(), 60)}")
    if rule == "shape" and np.prod(array.astype(float)) > MAX_LAYER:
        shape = sanitize(array.tolist(), 60)
        raise InvalidFile(f"{what} is {shape}, more than {MAX_LAYER:,} values")


def _check_metadata(node: dict[str, Any], what: str) -> None:
    if not isinstance(node.get("metadata", {}), dict):
        raise InvalidFile(f"the metadata of {what} are not named values")


def _check_shapes(what: str, kind: str, node: dict[str, Any]) -> None:
    if kind in ("Affine", "Linear", "Conv1d", "Conv2d"):
        shape, bias = np.shape(node["weight"]), np.shape(node.get("bias", 0))
        axes = {"Conv1d": 3, "Conv2d": 4}.get(kind)
        if len(shape) < 2 or 0 in shape or (axes is not None and len(shape) != axes):
            raise InvalidFile(f"the weight of {what} has the shape {list(shape)}")
        outputs = shape[0] if axes else shape[-2]
        if "bias" in node and bias[-1:] != (outputs,):
            raise InvalidFile(f"the bias of {what} has the shape {list(bias)}, not [{outputs}]")
        groups = int(np.max(node.get("groups", 1)))
        if outputs % groups:
            raise InvalidFile(f"{what} has {outputs} outputs in {groups} groups")
    values = [f for f, rule in FIELDS[kind].items() if rule in ("values", "time") and f in node]
    if {"r", "v_leak", "v_threshold"} & set(values):
        shapes = {np.shape(node[field]) for field in values if field != "w_in"}
        if len(shapes) > 1:
            shown = ", ".join(str(list(shape)) for shape in sorted(shapes))
            raise InvalidFile(f"the parameters of {what} have different shapes: {shown}")
