"""Files that somebody else made: whole ones are read, the others refused in one line."""

import resource
import subprocess
import sys
from pathlib import Path

import h5py
import nir
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from asnn.core import DataError
from asnn.formats import hdf5
from asnn.formats.array_headers import read_arrays
from asnn.formats.nir import read_nir, read_nir_file
from asnn.formats.onnx import read_onnx
from asnn.formats.safetensors import read_weights
from asnn.inspection.about import inspect
from tests.support import nir_and_onnx_files as foreign

pytestmark = pytest.mark.slow  # all of it together; one of them takes a moment


@pytest.mark.parametrize("case", foreign.HOSTILE, ids=" ".join)
def test_hostile_files_are_refused_in_one_line(case, tmp_path):
    write, says = foreign.HOSTILE[case]
    path = tmp_path / f"file{case[1]}"
    write(path)
    with pytest.raises(DataError) as caught:
        inspect(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize("kind", foreign.WHOLE)
def test_whole_files_are_not_refused(kind, tmp_path):
    name, write = foreign.WHOLE[kind]
    write(tmp_path / name)
    assert inspect(tmp_path / name)["kind"] == kind


@pytest.mark.parametrize("kind", foreign.WHOLE)
def test_a_file_is_known_by_its_content(kind, tmp_path):
    name, write = foreign.WHOLE[kind]
    write(tmp_path / name)
    other = (tmp_path / name).rename(tmp_path / "file.dat")
    assert inspect(other)["kind"] == kind


@pytest.mark.parametrize("kind", foreign.WHOLE)
@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_file_that_was_cut_off_is_refused(kind, share, tmp_path):
    name, write = foreign.WHOLE[kind]
    path = tmp_path / name
    write(path)
    content = path.read_bytes()
    path.write_bytes(content[: max(1, int(share * len(content)))])
    with pytest.raises(DataError):
        inspect(path)


def values_of(graph):
    return {
        (name, field): value
        for name, node in graph.nodes.items()
        for field, value in vars(node).items()
        if field not in ("input_type", "output_type", "metadata")
    }


@pytest.mark.parametrize("trusted", [False, True])
def test_a_graph_is_what_nir_reads(trusted, tmp_path):
    path = foreign.write_nir(tmp_path / "file.nir")
    found, expected = read_nir(path, trusted=trusted), nir.read(path)
    assert found.edges == expected.edges
    assert found.metadata == expected.metadata == {"dt": 1e-4}
    mine, theirs = values_of(found), values_of(expected)
    assert mine.keys() == theirs.keys()
    for key, value in theirs.items():
        assert np.array_equal(mine[key], value) and np.asarray(mine[key]).dtype == value.dtype, key
    for name, node in expected.nodes.items():
        assert np.array_equal(found.nodes[name].output_type["output"], node.output_type["output"])


def test_arrays_that_are_stored_once_are_one(tmp_path):
    path = foreign.write_nir(tmp_path / "file.nir")
    with h5py.File(path, "r+") as file:
        lif = file["node/nodes/lif"]
        del lif["v_threshold"]
        lif["v_threshold"] = lif["r"]
    for trusted in (False, True):
        node = read_nir(path, trusted=trusted).nodes["lif"]
        assert node.v_threshold is node.r and not node.r.flags.writeable
        assert node.tau.flags.writeable
    about = inspect(path)
    assert about["parameters"] - about["stored_parameters"] == 4 * 8 * 8


def test_files_of_older_writers(tmp_path):
    path = foreign.write_nir(tmp_path / "file.nir")
    with h5py.File(path, "r+") as file:
        del file["node/nodes/lif/v_reset"], file["node/metadata"], file["version"]
        file["version"] = "1.0.4"
        del file["node/nodes/conv/input_shape"], file["node/nodes/flatten/input_type"]
    found = read_nir_file(path)
    assert found.version == "1.0.4" and found.untyped == ""
    assert not found.graph.nodes["lif"].v_reset.any()
    assert found.graph.nodes["flatten"].output_type["output"].tolist() == [256]


def test_a_graph_that_nir_cannot_type_is_read_with_its_reason(tmp_path):
    nodes = foreign.nir_nodes()
    nodes["conv"] = nir.Conv2d(
        (8, 8), foreign.full(1, (4, 2, 3, 3)), 1, 1, 1, 2, foreign.full(0, 4)
    )
    nodes["input"] = nir.Input(np.array([4, 8, 8]))
    nir.write(tmp_path / "file.nir", foreign.nir_graph(nodes, type_check=False))
    assert "type mismatch" in read_nir_file(tmp_path / "file.nir").untyped


def test_recurrent_graphs_are_read(tmp_path):
    inner = nir.NIRGraph(
        {
            "input": nir.Input(np.array([3])),
            "lif": nir.LIF(*(foreign.full(v, 3) for v in (2, 1, 0, 1, 0))),
            "back": nir.Linear(foreign.full(0.5, (3, 3))),
            "output": nir.Output(np.array([3])),
        },
        [("input", "lif"), ("lif", "back"), ("back", "lif"), ("lif", "output")],
    )
    nodes = {"in": nir.Input(np.array([3])), "rnn": inner, "out": nir.Output(np.array([3]))}
    nir.write(tmp_path / "file.nir", foreign.nir_graph(nodes, type_check=False))
    found = read_nir(tmp_path / "file.nir")
    assert set(found.nodes["rnn"].nodes) == {"input", "lif", "back", "output"}


def test_a_library_that_hangs_is_stopped(tmp_path, monkeypatch):
    path = foreign.write_nir(tmp_path / "file.nir")
    child = tmp_path / "child.py"
    child.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(hdf5.__file__).parent)!r})\n"
        "from hdf5_scan import limit_time\n"
        "limit_time(float(sys.argv[3]))\n"
        "while True: pass\n"
    )
    monkeypatch.setattr(hdf5.hdf5_scan, "__file__", str(child))
    monkeypatch.setattr(hdf5, "SECONDS", 0.1)
    with pytest.raises(DataError, match="was not done with it after 0.1 s"):
        read_nir(path)
    child.write_text("import os; os.abort()\n")
    with pytest.raises(DataError, match="the HDF5 library failed on it"):
        read_nir(path)


def test_onnx_and_safetensors_come_back_whole(tmp_path):
    model = foreign.onnx_model(doc_string="made by hand")
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert read_onnx(tmp_path / "m.onnx") == model
    (tmp_path / "w.safetensors").write_bytes(foreign.WEIGHTS)
    weights = read_weights(tmp_path / "w.safetensors")
    assert weights.metadata == {"made by": "hand"}
    assert weights.array("a").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert weights.array("b").tolist() == [6, 7]


def test_bfloat16_is_read_as_float32(tmp_path):
    import torch
    from safetensors.torch import save_file

    values = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    save_file({"a": values, "b": torch.ones(2, dtype=torch.float16)}, tmp_path / "w.safetensors")
    weights = read_weights(tmp_path / "w.safetensors")
    assert np.array_equal(weights.array("a"), values.float().numpy())
    assert weights.array("b").tolist() == [1, 1]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "int64", "bool"])
@pytest.mark.parametrize("raw", [True, False])
def test_tensors_of_every_storage_are_accepted(dtype, raw, tmp_path):
    values = np.array([1, 0, 1, 1], dtype)
    tensor = numpy_helper.from_array(values, "extra")
    if not raw:
        code = tensor.data_type
        tensor = onnx.helper.make_tensor("extra", code, [4], values.tolist())
    model = foreign.onnx_model()
    model.graph.initializer.append(tensor)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert len(read_onnx(tmp_path / "m.onnx").graph.initializer) == 3


def test_masks_of_infinity_are_no_fault_in_onnx(tmp_path):
    model = foreign.onnx_model()
    model.graph.initializer.append(numpy_helper.from_array(np.array([-np.inf], "f4"), "mask"))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    read_onnx(tmp_path / "m.onnx")


def test_arrays_are_listed_with_type_and_shape(tmp_path):
    (tmp_path / "a.npz").write_bytes(foreign.npz_bytes())
    found = {
        array.name: (str(array.dtype), array.shape) for array in read_arrays(tmp_path / "a.npz")
    }
    assert found == {"x": ("float64", (6,)), "y": ("int64", (2, 3))}
    np.save(tmp_path / "a.npy", np.asfortranarray(np.ones((3, 2), "f4")))
    assert [array.shape for array in read_arrays(tmp_path / "a.npy")] == [(3, 2)]


FUZZ = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
damage = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=6
)


def damaged(content: bytes, flips, keep: float) -> bytes:
    changed = bytearray(content)
    for place, bit in flips:
        changed[int(place * len(changed))] ^= 1 << bit
    return bytes(changed[: max(1, int(keep * len(changed)))])


@pytest.mark.parametrize("kind", ["onnx", "safetensors", "npz"])
@settings(
    max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
@given(flips=damage, keep=st.sampled_from([1.0, 1.0, 1.0, 0.9, 0.5, 0.1]))
def test_damage_is_refused_or_harmless(kind, flips, keep, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    name, write = foreign.WHOLE[kind]
    path = folder / f"fuzz-{name}"
    write(path)
    path.write_bytes(damaged(path.read_bytes(), flips, keep))
    try:
        inspect(path)
    except DataError as error:
        assert str(error).isprintable()


@settings(FUZZ, max_examples=40)
@given(flips=damage, keep=st.sampled_from([1.0, 1.0, 1.0, 0.9, 0.5]))
def test_damaged_hdf5_is_refused_or_harmless(flips, keep, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "fuzz.nir"
    foreign.write_nir(path)
    path.write_bytes(damaged(path.read_bytes(), flips, keep))
    try:
        inspect(path)
    except DataError as error:
        assert str(error).isprintable()


WORST = [
    ("hard link cycle", ".nir"),
    ("1 TiB, contiguous", ".nir"),
    ("zeros that inflate", ".nir"),
    ("billion laughs", ".nir"),
    ("a million empty nodes", ".onnx"),
    ("numbers that grow", ".onnx"),
    ("header of 20 MB", ".safetensors"),
    ("zip bomb", ".bin"),
]
MEASURED = """
import resource, sys
from asnn.cli.app import run
code = run(["inspect", sys.argv[1]])
assert "torch" not in sys.modules
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
# ru_maxrss of this process begins with that of the one that it was forked from; this does not.
status = open("/proc/self/status").read()
own = int(status.split("VmHWM:")[1].split()[0])
print(code, sum(u.ru_utime + u.ru_stime for u in used), max(own, used[1].ru_maxrss))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux alone")
@pytest.mark.parametrize("case", WORST, ids=" ".join)
def test_the_worst_files_cost_little(case, tmp_path):
    path = tmp_path / f"file{case[1]}"
    foreign.HOSTILE[case][0](path)
    result = subprocess.run(
        [sys.executable, "-c", MEASURED, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (20, 20)),
    )
    code, seconds, kilobytes = result.stdout.split()
    assert code == "4" and "Traceback" not in result.stderr
    assert float(seconds) < 4  # 1.6 where it was measured
    assert int(kilobytes) < 500_000
