"""The contents of a NIR graph, and what its importers read differently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..exporters.nir.targets import TARGETS
from ..formats.errors import sanitize
from ..formats.nir import NirFile, read_nir_file
from ..formats.node_schema import PARAMETERS

if TYPE_CHECKING:
    from nir import NIRGraph, NIRNode

TIMED = ("LI", "LIF", "CubaLI", "CubaLIF")
SPIKING = ("IF", "LIF", "CubaLIF")
SNNTORCH_DT = 1e-4
MAX_VERSION_PINNED = (1, 0, 4)  # sinabs 3.1.3 and rockpool 3.1.0 require this version
MAX_NAMES = 3

Named = list[tuple[str, "NIRNode"]]


def inspect_nir(path: Path) -> dict[str, Any]:
    """Return nodes, shapes, time constants, parameters and metadata of a NIR graph.

    Raises:
        DataError: as `read_nir`.
    """
    file = read_nir_file(path)
    graph = file.graph
    nodes = list(_nodes(graph))
    arrays = [array for _, node in nodes for array in _parameters(node).values()]
    return {
        "version": file.version,
        "nodes": dict(Counter(_type(node) for _, node in nodes).most_common()),
        "edges": len(graph.edges),
        "parameters": sum(array.size for array in arrays),
        "stored_parameters": sum({id(array): array.size for array in arrays}.values()),
        "layers": [_layer(name, graph) for name in topological_order(graph)],
        "metadata": _plain(graph.metadata),
        "warnings": warnings_about(file),
    }


def _type(node: NIRNode) -> str:
    return type(node).__name__


def _nodes(graph: NIRGraph, prefix: str = "") -> Iterator[tuple[str, NIRNode]]:
    """Yield nodes by name, including those of nested graphs."""
    for name, node in graph.nodes.items():
        yield prefix + name, node
        if _type(node) == "NIRGraph":
            yield from _nodes(node, f"{prefix}{name}/")  # type: ignore[arg-type]


def topological_order(graph: NIRGraph) -> list[str]:
    """Return the names of nodes in topological order; nodes in or after loops come last."""
    inputs = dict.fromkeys(graph.nodes, 0)
    targets: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        inputs[target] += 1
        targets[source].append(target)
    ready = [name for name, count in inputs.items() if count == 0]
    found = []
    while ready:
        name = ready.pop()
        found.append(name)
        for target in targets[name]:
            inputs[target] -= 1
            if inputs[target] == 0:
                ready.append(target)
    done = set(found)
    return found + [name for name in graph.nodes if name not in done]


def _parameters(node: NIRNode) -> dict[str, np.ndarray]:
    return {
        name: value if isinstance(value, np.ndarray) else np.asarray(value)
        for name, value in vars(node).items()
        if name in PARAMETERS
    }


def _layer(name: str, graph: NIRGraph) -> dict[str, Any]:
    node = graph.nodes[name]
    parameters = _parameters(node)
    ranges = {
        key: [float(value.min()), float(value.max())]
        for key, value in parameters.items()
        if key not in ("weight", "bias") and value.size
    }
    shape = next(iter((node.output_type or {}).values()), None)
    return {
        "name": name,
        "type": _type(node),
        "shape": None if shape is None else [int(size) for size in np.ravel(shape)],
        "parameters": sum(value.size for value in parameters.values()),
        **({"weight": list(parameters["weight"].shape)} if "weight" in parameters else {}),
        **ranges,
    }


def _plain(value: Any) -> Any:
    """Return metadata as values for JSON."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray) and value.size > 64:
        return f"array of {value.size:,} values"
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, complex) or (isinstance(value, float) and not np.isfinite(value)):
        return str(value)
    return value


def warnings_about(file: NirFile) -> list[str]:
    """Return what differs between importers of the file, one line each."""
    nodes = list(_nodes(file.graph))
    found = [f"nir's own type check refuses it: {file.type_error}"] if file.type_error else []
    found += [text for check in CHECKS for text in check(file, nodes)]
    return found


def _without_dt(file: NirFile, nodes: Named) -> Iterator[str]:
    timed = _of_type(nodes, TIMED)
    all_metadata = [file.graph.metadata, *(node.metadata for _, node in timed)]
    if timed and not any("dt" in metadata for metadata in all_metadata):
        yield (
            "it does not state the length of a time step: snnTorch and SpikingJelly take 1e-4 s, "
            "Norse 1e-3 s"
        )


def _soft_reset(file: NirFile, nodes: Named) -> Iterator[str]:
    spiking = _of_type(nodes, ("LIF", "CubaLIF"))
    if spiking and not file.graph.metadata and all(_like_snntorch(node) for _, node in spiking):
        yield (
            "it looks like an export of snnTorch, which always writes reset to 0: "
            "if it was trained with reset_mechanism='subtract', the file does not record it"
        )


def _like_snntorch(node: Any) -> bool:
    return (
        not node.metadata
        and not node.v_leak.any()
        and not node.v_reset.any()
        and np.allclose(node.r * SNNTORCH_DT, getattr(node, "tau_mem", getattr(node, "tau", 0)))
    )


def _varying_time_constants(file: NirFile, nodes: Named) -> Iterator[str]:
    varying = [name for name, node in _of_type(nodes, ("LIF",)) if not _constant(node.tau)]  # type: ignore[attr-defined]
    if varying:
        yield (
            f"time constants differ within {_names(varying)}: SpikingJelly refuses that, and "
            "snnTorch computes something else unless r = tau / dt"
        )


def _constant(values: np.ndarray) -> bool:
    return values.size == 0 or bool(values.min() == values.max())


def _flatten_from_front(file: NirFile, nodes: Named) -> Iterator[str]:
    front = [name for name, node in _of_type(nodes, ("Flatten",)) if node.start_dim >= 0]  # type: ignore[attr-defined]
    if front:
        yield (
            f"{_names(front)} flattens from the front: snnTorch and Norse count the batch as an "
            "axis there, negative axes mean the same everywhere"
        )


def _unsupported_types(file: NirFile, nodes: Named) -> Iterator[str]:
    types = {_type(node) for _, node in nodes}
    for name, target in TARGETS.items():
        unsupported = types - {kind.__name__ for kind in target.reads}
        if unsupported:
            yield f"{name} {target.version} does not read {', '.join(sorted(unsupported))}"


def _if_neurons(file: NirFile, nodes: Named) -> Iterator[str]:
    if _of_type(nodes, ("IF",)):
        yield "snnTorch reads IF as a leaky neuron with beta = 0.9"


def _grouped_convolutions(file: NirFile, nodes: Named) -> Iterator[str]:
    grouped = [
        name
        for name, node in _of_type(nodes, ("Conv1d", "Conv2d"))
        if int(np.max(node.groups)) > 1  # type: ignore[attr-defined]
    ]
    if grouped:
        yield f"{_names(grouped)} has groups: SpikingJelly refuses that, snnTorch cannot load it"


def _loops(file: NirFile, nodes: Named) -> Iterator[str]:
    for graph in [file.graph, *(node for _, node in _of_type(nodes, ("NIRGraph",)))]:
        position = {name: index for index, name in enumerate(topological_order(graph))}  # type: ignore[arg-type]
        if any(position[a] >= position[b] for a, b in graph.edges):  # type: ignore[attr-defined]
            yield "it has loops, and NIR does not specify whether a loop takes a time step"
            return


def _newer_than_1_0_4(file: NirFile, nodes: Named) -> Iterator[str]:
    try:
        version = tuple(int(part) for part in (file.version or "").split("."))
    except ValueError:
        return
    has_metadata = any(node.metadata for _, node in nodes if _type(node) != "NIRGraph")
    if version > MAX_VERSION_PINNED and (has_metadata or _of_type(nodes, SPIKING)):
        yield (
            f"it was written by nir {sanitize(file.version, 20)}: readers that require nir 1.0.4 "
            "(sinabs 3.1.3, rockpool 3.1.0) fail on v_reset and on metadata of nodes"
        )


CHECKS = (
    _without_dt,
    _soft_reset,
    _varying_time_constants,
    _flatten_from_front,
    _unsupported_types,
    _if_neurons,
    _grouped_convolutions,
    _loops,
    _newer_than_1_0_4,
)


def _of_type(nodes: Named, types: tuple[str, ...]) -> Named:
    return [(name, node) for name, node in nodes if _type(node) in types]


def _names(names: list[str]) -> str:
    shown = ", ".join(sanitize(name, 40) for name in names[:MAX_NAMES])
    return shown if len(names) <= MAX_NAMES else f"{shown} and {len(names) - MAX_NAMES} more"
