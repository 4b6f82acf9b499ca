"""NIR files: the same graph as `nir.read`; invalid and hostile ones are refused."""

import h5py
import nir
import numpy as np
import pytest

from asnn.core.errors import DataError
from asnn.formats.nir import read_nir, read_nir_file
from asnn.inspection import inspect
from tests.support.format_files import full, nir_graph, nir_nodes, write_nir
from tests.support.hostile_formats import HOSTILE, check_refused


@pytest.mark.slow
@pytest.mark.usefixtures("forked_scan")
@pytest.mark.parametrize("case", [case for case in HOSTILE if case[1] == ".nir"], ids=" ".join)
def test_hostile_files_are_refused_in_one_line(case, tmp_path):
    check_refused(case, tmp_path)


def fields_of(graph):
    return {
        (name, field): value
        for name, node in graph.nodes.items()
        for field, value in vars(node).items()
        if field not in ("input_type", "output_type", "metadata")
    }


@pytest.mark.parametrize("trusted", [False, True])
def test_the_graph_equals_that_of_nir(trusted, tmp_path):
    path = write_nir(tmp_path / "file.nir")
    found, expected = read_nir(path, trusted=trusted), nir.read(path)
    assert found.edges == expected.edges
    assert found.metadata == expected.metadata == {"dt": 1e-4}
    mine, theirs = fields_of(found), fields_of(expected)
    assert mine.keys() == theirs.keys()
    for key, value in theirs.items():
        assert np.array_equal(mine[key], value) and np.asarray(mine[key]).dtype == value.dtype, key
    for name, node in expected.nodes.items():
        assert np.array_equal(found.nodes[name].output_type["output"], node.output_type["output"])


@pytest.mark.slow
def test_nodes_share_a_dataset_as_one_read_only_array(tmp_path):
    path = write_nir(tmp_path / "file.nir")
    with h5py.File(path, "r+") as file:
        lif = file["node/nodes/lif"]
        del lif["v_threshold"]
        lif["v_threshold"] = lif["r"]
    for trusted in (False, True):
        node = read_nir(path, trusted=trusted).nodes["lif"]
        assert node.v_threshold is node.r and not node.r.flags.writeable
        assert node.tau.flags.writeable
    found = inspect(path)
    assert found["parameters"] - found["stored_parameters"] == 4 * 8 * 8


def test_files_of_older_writers(tmp_path):
    path = write_nir(tmp_path / "file.nir")
    with h5py.File(path, "r+") as file:
        del file["node/nodes/lif/v_reset"], file["node/metadata"], file["version"]
        file["version"] = "1.0.4"
        del file["node/nodes/conv/input_shape"], file["node/nodes/flatten/input_type"]
    found = read_nir_file(path)
    assert found.version == "1.0.4" and found.type_error == ""
    assert not found.graph.nodes["lif"].v_reset.any()
    assert found.graph.nodes["flatten"].output_type["output"].tolist() == [256]


def test_a_graph_that_fails_the_type_check_is_read_with_the_reason(tmp_path):
    nodes = nir_nodes()
    nodes["conv"] = nir.Conv2d((8, 8), full(1, (4, 2, 3, 3)), 1, 1, 1, 2, full(0, 4))
    nodes["input"] = nir.Input(np.array([4, 8, 8]))
    nir.write(tmp_path / "file.nir", nir_graph(nodes, type_check=False))
    assert "type mismatch" in read_nir_file(tmp_path / "file.nir").type_error


def test_recurrent_graphs_are_read(tmp_path):
    inner = nir.NIRGraph(
        {
            "input": nir.Input(np.array([3])),
            "lif": nir.LIF(*(full(v, 3) for v in (2, 1, 0, 1, 0))),
            "back": nir.Linear(full(0.5, (3, 3))),
            "output": nir.Output(np.array([3])),
        },
        [("input", "lif"), ("lif", "back"), ("back", "lif"), ("lif", "output")],
    )
    nodes = {"in": nir.Input(np.array([3])), "rnn": inner, "out": nir.Output(np.array([3]))}
    nir.write(tmp_path / "file.nir", nir_graph(nodes, type_check=False))
    found = read_nir(tmp_path / "file.nir")
    assert set(found.nodes["rnn"].nodes) == {"input", "lif", "back", "output"}


def test_a_half_written_file_is_told_from_another(tmp_path):
    """nir.write raises at a value that it cannot store, and leaves what it has written."""
    ones = np.ones(3, np.float32)
    lif = nir.LIF(tau=ones, r=ones, v_leak=0 * ones, v_threshold=ones)
    lif.tau = object()
    ends = {
        "input": nir.Input({"input": np.array([3])}),
        "output": nir.Output({"output": np.array([3])}),
    }
    edges = [("input", "lif"), ("lif", "output")]
    graph = nir.NIRGraph({"input": ends["input"], "lif": lif, "output": ends["output"]}, edges,
                         type_check=False)  # fmt: skip
    with pytest.raises(TypeError):
        nir.write(tmp_path / "half.nir", graph)
    with pytest.raises(DataError) as found:
        read_nir(tmp_path / "half.nir")
    assert found.value.why == (
        "it was written in part: nir.write stopped at its node 'lif', before the type of the graph"
    )
