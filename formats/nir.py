"""NIR graphs that somebody else made."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import DataError
from .hdf5 import read_hdf5
from .node_fields import Fault, check_graph
from .opening import clean, damaged

if TYPE_CHECKING:
    import nir

MOST_EDGES_TYPED = 2000  # the type check of nir takes time by the square of them


@dataclass(frozen=True)
class NirFile:
    """A NIR graph and what its file says beside it.

    Attributes:
        graph: the graph; shapes are inferred where the type check went through.
        version: of the nir that wrote it, or None.
        untyped: why nir's own type check refuses the graph, or empty.
    """

    graph: nir.NIRGraph
    version: str | None
    untyped: str


def read_nir(path: Path | str, *, trusted: bool = False) -> nir.NIRGraph:
    """Return the graph in a NIR file of nir 1.0, whoever wrote it.

    Unlike `nir.read` this opens no link, reads no more than a bounded amount, and refuses values
    that mean nothing. Arrays that the file stores once are one array, which cannot be written to.

    Args:
        path: the file.
        trusted: this process wrote it: read it here; otherwise a child process reads it, since the
            HDF5 library loops for ever over some damaged files.

    Raises:
        DataError: the file is missing, damaged or hostile, or holds what no network has: an unknown
            type of node, an edge to nowhere, NaN, a time constant of zero.
    """
    return read_nir_file(path, trusted=trusted).graph


def read_nir_file(path: Path | str, *, trusted: bool = False) -> NirFile:
    """Return the graph in a NIR file, with the file's version and the type check's answer.

    Raises:
        DataError: as `read_nir`.
    """
    contents = read_hdf5(path, trusted=trusted)
    try:
        check_graph(contents.tree)
        graph, untyped = _graph(contents.tree)
    except DataError:
        raise
    except Fault as error:
        raise damaged(path, error, what="NIR file") from error
    except Exception as error:  # nir asserts, indexes and divides by what the file says
        why = clean(error) or type(error).__name__
        raise damaged(path, why, what="NIR file") from error
    return NirFile(graph, contents.version, untyped)


def _graph(tree: dict[str, Any]) -> tuple[nir.NIRGraph, str]:
    """Return the graph, typed if it can be, and why not if it cannot."""
    from nir import NIRGraph

    untyped = f"it has more than {MOST_EDGES_TYPED:,} edges"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if _edge_count(tree) <= MOST_EDGES_TYPED:
            try:
                return NIRGraph.from_dict(_marked(tree, True)), ""
            except Exception as error:
                untyped = clean(error) or type(error).__name__
        return NIRGraph.from_dict(_marked(tree, False)), untyped


def _edge_count(tree: dict[str, Any]) -> int:
    inner = (node for node in tree["nodes"].values() if node["type"] == "NIRGraph")
    return len(tree["edges"]) + sum(map(_edge_count, inner))


def _marked(tree: dict[str, Any], type_check: bool) -> dict[str, Any]:
    """Return a copy, which nir may change, that says whether types are checked."""
    nodes = {
        name: _marked(node, type_check) if node["type"] == "NIRGraph" else _plain(node)
        for name, node in tree["nodes"].items()
    }
    return {**tree, "nodes": nodes, "type_check": type_check}


def _plain(node: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a node as nir wants it.

    Shapes are whole numbers (an empty one is stored as floats), and a convolution that does not
    say how large its images are says so.
    """
    shapes = {
        name: node[name].astype(int)
        for name in ("shape", "input_type")
        if name in node and hasattr(node[name], "astype")
    }
    unsaid = {"input_shape": None} if node["type"] in ("Conv1d", "Conv2d") else {}
    return {**unsaid, **node, **shapes}
