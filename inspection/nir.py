"""The contents of a NIR graph, and what its importers read differently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..exporters.nir.targets import TARGETS, problems
from ..formats.errors import sanitize
from ..formats.nir import NirFile, read_nir_file
from ..formats.node_schema import PARAMETERS
from ..formats.step_length import decided_dt, needs_dt, stated_dt

if TYPE_CHECKING:
    from nir import NIRGraph, NIRNode

SPIKING = ("IF", "LIF", "CubaLIF")
SNNTORCH_DT = 1e-4
MAX_VERSION_PINNED = (1, 0, 4)  # sinabs 3.1.3 and rockpool 3.1.0 require this version
MAX_REASONS = 2

Named = list[tuple[str, "NIRNode"]]


def inspect_nir(path: Path) -> dict[str, Any]:
    """Return nodes, shapes, time constants, parameters and metadata of a NIR graph.

    `dt` is the length of a step in seconds that the file states or its neurons decide; `run_by` the
    importers that run it exactly, as far as is known.

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
        "dt": stated_dt(graph) or decided_dt(graph),
        "run_by": [name for name, target in TARGETS.items() if not problems(graph, target)],
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
    graph = file.graph
    if not needs_dt(graph) or stated_dt(graph) is not None:
        return
    decided = decided_dt(graph)
    fits = "" if decided is None else f"; its neurons add their input as it is with {decided:g} s"
    yield (
        "it does not state the length of a time step: snnTorch and SpikingJelly take 1e-4 s, "
        f"Norse 1e-3 s{fits}"
    )


def _soft_reset(file: NirFile, nodes: Named) -> Iterator[str]:
    spiking = _of_type(nodes, ("LIF", "CubaLIF"))
    if spiking and not file.graph.metadata and all(_like_snntorch(node) for _, node in spiking):
        yield (
            "it looks like an export of snnTorch, which always writes reset to 0: "
            "if it was trained with reset_mechanism='subtract', the file does not record it; "
            "`asnn export --from MODULE:FUNCTION --check FILE` compares their spikes"
        )


def _like_snntorch(node: Any) -> bool:
    return (
        not node.metadata
        and not node.v_leak.any()
        and not node.v_reset.any()
        and np.allclose(node.r * SNNTORCH_DT, getattr(node, "tau_mem", getattr(node, "tau", 0)))
    )


def _importers(file: NirFile, nodes: Named) -> Iterator[str]:
    for name, target in TARGETS.items():
        found = [sanitize(reason) for reason in problems(file.graph, target)]
        if found:
            more = f" and {len(found) - MAX_REASONS} more" if len(found) > MAX_REASONS else ""
            reasons = "; ".join(found[:MAX_REASONS]) + more
            yield f"{name} {target.version} does not run it exactly: {reasons}"


def _loops(file: NirFile, nodes: Named) -> Iterator[str]:
    for graph in [file.graph, *(node for _, node in _of_type(nodes, ("NIRGraph",)))]:
        position = {name: index for index, name in enumerate(topological_order(graph))}  # type: ignore[arg-type]
        if any(position[a] >= position[b] for a, b in graph.edges):  # type: ignore[attr-defined]
            yield (
                "it has loops, and NIR does not specify whether a loop takes a time step: one in "
                "asnn, SpikingJelly and Norse"
            )
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


CHECKS = (_without_dt, _soft_reset, _importers, _loops, _newer_than_1_0_4)


def _of_type(nodes: Named, types: tuple[str, ...]) -> Named:
    return [(name, node) for name, node in nodes if _type(node) in types]
