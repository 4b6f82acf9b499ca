"""NIR files: identical arrays stored once, and the form that older readers accept."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from ...core.files import write_bytes
from ..graph.ir import Array
from .nodes import DT


def write_nir(path: Path, graph: nir.NIRGraph, *, compat: str | None = None) -> None:
    """Write a graph to an HDF5 file, completely or not at all.

    Equal arrays become hard links to one; `nir.read` sees no difference. The file keeps the order
    of the nodes, without which importers by nirtorch take many times longer.

    Args:
        path: the file.
        graph: what to write.
        compat: `1.0.4` leaves out fields that readers of that version do not accept.
    """
    content = content_of(graph)
    if compat is not None:
        _drop_new_fields(content)
    # In memory first: the HDF5 library crashes when the disk is full.
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.create_dataset("version", data=compat or nir.version, dtype=h5py.string_dtype())
        _write(file.create_group("node"), content, {})
    write_bytes(path, memory.getvalue())


def content_of(node: nir.NIRNode) -> dict[str, Any]:
    """Return what `node.to_dict()` does, with the arrays themselves: that copies them twice."""
    if isinstance(node, nir.NIRGraph):
        inner = {name: content_of(each) for name, each in node.nodes.items()}
        return _fields(node) | {"nodes": inner}
    plain = type(node).to_dict is nir.NIRNode.to_dict
    return _fields(node) if plain else node.to_dict()


def size_of(graph: nir.NIRGraph) -> int:
    """Return the number of values in all nodes, of equal arrays too."""
    arrays = (each for node in graph.nodes.values() for each in vars(node).values())
    return sum(each.size for each in arrays if isinstance(each, np.ndarray))


def _fields(node: nir.NIRNode) -> dict[str, Any]:
    names = [each.name for each in dataclasses.fields(node)]
    kept = [name for name in names if name not in ("input_type", "output_type")]
    return {name: getattr(node, name) for name in kept} | {"type": type(node).__name__}


def _write(group: h5py.Group, content: dict[str, Any], seen: dict[Any, h5py.Dataset]) -> None:
    for key, item in content.items():
        if isinstance(item, dict):
            if item or key != "metadata":
                _write(group.create_group(str(key), track_order=True), item, seen)
        elif isinstance(item, str):
            group.create_dataset(key, data=item, dtype=h5py.string_dtype())
        elif isinstance(item, np.ndarray) and item.ndim and item.dtype.kind in "fiu":
            digest = hashlib.sha256(np.ascontiguousarray(item).data).digest()
            identity = (item.dtype.str, item.shape, digest)
            if identity in seen:
                group[key] = seen[identity]
            else:
                seen[identity] = group.create_dataset(key, data=item, compression="gzip")
        else:
            group.create_dataset(key, data=item)


def _drop_new_fields(content: dict[str, Any]) -> None:
    """Remove `v_reset`, which NIR 1.0.4 does not have; it is always 0 here."""
    content.pop("v_reset", None)
    for item in content.values():
        if isinstance(item, dict):
            _drop_new_fields(item)


def write_golden(path: Path, values: dict[str, Array]) -> None:
    """Write the values of nodes as NIRData.

    Args:
        path: the file.
        values: by name of the node, `[B, T, ...]`, where the axes after T are flattened; T = 1 for
            a graph that is run once.
    """
    nodes = {}
    for name, each in values.items():
        flat = np.ascontiguousarray(each.reshape(*each.shape[:2], -1))
        nodes[name] = nir.NIRNodeData({"output": nir.TimeGriddedData(flat, DT)})
    memory = io.BytesIO()
    nir.write_data(memory, nir.NIRGraphData(nodes))  # type: ignore[arg-type]  # BinaryIO does too
    write_bytes(path, memory.getvalue())
