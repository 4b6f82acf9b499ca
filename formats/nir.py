"""NIR graphs from any writer."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import DataError
from .errors import InvalidFile, sanitize, unreadable
from .hdf5 import read_hdf5
from .node_schema import check_graph

if TYPE_CHECKING:
    import nir

MAX_EDGES_TYPED = 2000  # nir's type check takes time quadratic in the number of edges


@dataclass(frozen=True)
class NirFile:
    """A NIR graph with the version of its file and the result of the type check.

    Attributes:
        graph: the graph, with inferred shapes if it passes nir's type check.
        version: the version of nir that wrote it, or None.
        type_error: why nir's type check refuses the graph, or empty.
    """

    graph: nir.NIRGraph
    version: str | None
    type_error: str


def read_nir(path: Path | str, *, trusted: bool = False) -> nir.NIRGraph:
    """Return the graph in a NIR file of nir 1.0.

    Unlike `nir.read` this follows no soft links, reads a bounded amount, and refuses invalid
    values. Nodes that share a dataset of the file share one read-only array.

    Args:
        path: the file.
        trusted: read the file in this process, because this process has written it; otherwise a
            child process reads it, since the HDF5 library loops for ever on some damaged files.

    Raises:
        DataError: the file is missing, damaged, hostile or invalid: an unknown type of node, an
            edge to a missing node, NaN, a time constant of zero.
    """
    return read_nir_file(path, trusted=trusted).graph


def read_nir_file(path: Path | str, *, trusted: bool = False) -> NirFile:
    """Return the graph in a NIR file, its version, and the result of nir's type check.

    Raises:
        DataError: as `read_nir`.
    """
    contents = read_hdf5(path, trusted=trusted)
    try:
        check_graph(contents.tree)
        graph, type_error = _graph(contents.tree)
    except DataError:
        raise
    except InvalidFile as error:
        raise unreadable(path, error, what="NIR file") from error
    except Exception as error:  # nir does not check what it reads
        why = sanitize(error) or type(error).__name__
        raise unreadable(path, why, what="NIR file") from error
    return NirFile(graph, contents.version, type_error)


def _graph(tree: dict[str, Any]) -> tuple[nir.NIRGraph, str]:
    """Return the graph, and why nir's type check refuses it, or an empty string."""
    from nir import NIRGraph

    type_error = f"it has more than {MAX_EDGES_TYPED:,} edges"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if _edge_count(tree) <= MAX_EDGES_TYPED:
            try:
                return NIRGraph.from_dict(_with_type_check(tree, True)), ""
            except Exception as error:
                type_error = sanitize(error) or type(error).__name__
        return NIRGraph.from_dict(_with_type_check(tree, False)), type_error


def _edge_count(tree: dict[str, Any]) -> int:
    inner = (node for node in tree["nodes"].values() if node["type"] == "NIRGraph")
    return len(tree["edges"]) + sum(map(_edge_count, inner))


def _with_type_check(tree: dict[str, Any], type_check: bool) -> dict[str, Any]:
    """Return a copy, which nir may modify, with the option `type_check` in each graph."""
    nodes = {
        name: _with_type_check(node, type_check)
        if node["type"] == "NIRGraph"
        else _normalized(node)
        for name, node in tree["nodes"].items()
    }
    return {**tree, "nodes": nodes, "type_check": type_check}


def _normalized(node: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a node as nir expects it.

    Shapes become integers (an empty one is stored as floats), and a convolution without an input
    shape gets None.
    """
    shapes = {
        name: node[name].astype(int)
        for name in ("shape", "input_type")
        if name in node and hasattr(node[name], "astype")
    }
    default = {"input_shape": None} if node["type"] in ("Conv1d", "Conv2d") else {}
    return {**default, **node, **shapes}
