"""The content of NIR files: that of nir's own writer, without its copies of the arrays."""

from __future__ import annotations

from itertools import pairwise

import h5py
import nir
import numpy as np

from asnn.exporters.nir.file import content_of, size_of, write_nir
from tests.support.format_files import nir_graph, nir_nodes


def same(a: object, b: object) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return [*a] == [*b] and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and np.array_equal(np.asarray(a), np.asarray(b))


def in_line(nodes: dict[str, nir.NIRNode], size: int) -> nir.NIRGraph:
    first, last = nir.Input({"input": np.array([size])}), nir.Output({"output": np.array([size])})
    edges = [*pairwise(("input", *nodes, "output"))]
    return nir.NIRGraph({"input": first, **nodes, "output": last}, edges, type_check=False)


def every_node() -> nir.NIRGraph:
    inner = nir_graph(nir_nodes())
    inner.metadata = {"dt": 1e-4}
    return in_line({"inner": inner}, 3)


def test_it_is_that_of_to_dict() -> None:
    graph = every_node()
    expected = graph.to_dict()
    assert same(content_of(graph), expected)
    assert {each["type"] for each in expected["nodes"]["inner"]["nodes"].values()} > {"LIF"}


def test_arrays_are_not_copied() -> None:
    weight = np.ones((3, 3), np.float32)
    assert content_of(nir.Linear(weight))["weight"] is weight


def test_equal_arrays_are_stored_once(tmp_path) -> None:
    weights = [np.full((64, 64), value, np.float32) for value in (1, 1, 2)]
    weights[1] = np.asfortranarray(weights[1])  # another order in memory, the same values
    graph = in_line(dict(zip("abc", map(nir.Linear, weights), strict=True)), 64)
    assert size_of(graph) == 3 * 64 * 64
    write_nir(tmp_path / "m.nir", graph)
    with h5py.File(tmp_path / "m.nir") as file:
        a, b, c = (file[f"node/nodes/{name}/weight"] for name in "abc")
        assert a == b != c
    read = nir.read(tmp_path / "m.nir")
    for name, weight in zip("abc", weights, strict=True):
        assert np.array_equal(read.nodes[name].weight, weight)
