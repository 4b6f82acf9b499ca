"""ONNX models of two files: read as one of one file, within the folder and its bounds."""

from __future__ import annotations

import os
import re

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from asnn.core.errors import DataError
from asnn.formats import onnx as reader
from asnn.formats.onnx import read_onnx
from asnn.inspection import inspect

RNG = np.random.default_rng(0)


def model(*arrays: np.ndarray) -> onnx.ModelProto:
    """A model with these arrays as weights."""
    info = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])
    tensors = [numpy_helper.from_array(array, f"w{i}") for i, array in enumerate(arrays)]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [info], [out], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def place(path, of: onnx.ModelProto, index: int = 0, **stated: object) -> None:
    """Write a model, one tensor of which states a place in another file."""
    changed = onnx.ModelProto()
    changed.CopyFrom(of)
    tensor = changed.graph.initializer[index]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in stated.items():
        tensor.external_data.add(key=key, value=str(value))
    path.write_bytes(changed.SerializeToString())


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["f4", "f8", "f2", "i8", "u1", "?"]),
            st.lists(st.integers(0, 4), max_size=3),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_as_onnx_itself_reads_them(tmp_path_factory, kinds) -> None:
    folder = tmp_path_factory.mktemp("two")
    arrays = [(9 * RNG.random(shape)).astype(dtype) for dtype, shape in kinds]
    whole = model(*arrays)
    expected = whole.SerializeToString()
    onnx.save(
        whole, folder / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0
    )
    assert read_onnx(folder / "m.onnx").SerializeToString() == expected
    for array, tensor in zip(arrays, read_onnx(folder / "m.onnx").graph.initializer, strict=True):
        assert np.array_equal(numpy_helper.to_array(tensor), array)


def test_inspect_counts_their_parameters(tmp_path) -> None:
    place(tmp_path / "m.onnx", model(np.ones((3, 4), "f4")), location="m.data")
    (tmp_path / "m.data").write_bytes(bytes(48))
    assert inspect(tmp_path / "m.onnx")["parameters"] == 12


def test_a_missing_file_is_named(tmp_path) -> None:
    place(tmp_path / "m.onnx", model(np.ones(12, "f4")), location="m.data")
    with pytest.raises(DataError, match=r"m\.onnx is one of two files") as found:
        read_onnx(tmp_path / "m.onnx")
    assert found.value.why == "its weights are in m.data, which is not beside it"
    assert "put m.data into its folder, under that name" in found.value.remedy


REFUSED = {
    "a folder above": ({"location": "../m.data"}, "'../m.data', outside the folder"),
    "a folder below": ({"location": "inner/m.data"}, "outside the folder"),
    "an absolute path": ({"location": "/etc/passwd"}, "outside the folder"),
    "a drive": ({"location": "C:m.data"}, "outside the folder"),
    "the folder": ({"location": "."}, "outside the folder"),
    "no location": ({"offset": 0}, "does not state one place"),
    "an unknown key": ({"location": "m.data", "url": "x"}, "does not state one place"),
    "another length": ({"location": "m.data", "length": 44}, r"and 44 bytes in 'm.data'"),
    "beyond the end": ({"location": "m.data", "offset": 4}, "takes 48 bytes from 4 of 'm.data'"),
    "a negative offset": ({"location": "m.data", "offset": -4}, "the offset of .* is '-4'"),
    "a word": ({"location": "m.data", "length": "all"}, "the length of .* is 'all'"),
    "a link": ({"location": "link"}, "'link', which is a link"),
    "a pipe": ({"location": "pipe"}, "'pipe', which is not a regular file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_places_are_refused(case, tmp_path) -> None:
    stated, message = REFUSED[case]
    (tmp_path / "inner").mkdir()
    for name in ("m.data", "inner/m.data", "elsewhere"):
        (tmp_path / name).write_bytes(bytes(48))
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "pipe")
    place(tmp_path / "m.onnx", model(np.ones(12, "f4")), **stated)
    with pytest.raises(DataError) as found:
        read_onnx(tmp_path / "m.onnx")
    assert "is not a readable ONNX model" in found.value.what
    assert re.search(message, found.value.why)


def test_bytes_are_taken_once(tmp_path) -> None:
    """A small file cannot ask for its bytes again and again."""
    both = model(np.ones(12, "f4"), np.ones(12, "f4"))
    both.graph.initializer[1].CopyFrom(both.graph.initializer[0])
    both.graph.initializer[1].name = "w1"
    place(tmp_path / "one.onnx", both, location="m.data")
    place(tmp_path / "m.onnx", onnx.load(tmp_path / "one.onnx", load_external_data=False), 1,
          location="m.data")  # fmt: skip
    (tmp_path / "m.data").write_bytes(bytes(48))
    with pytest.raises(DataError) as found:
        read_onnx(tmp_path / "m.onnx")
    assert "which has 48, 96 of them taken" in found.value.why
    (tmp_path / "m.data").write_bytes(bytes(96))
    assert len(read_onnx(tmp_path / "m.onnx").graph.initializer) == 2


def test_more_than_the_limit_is_refused(tmp_path, monkeypatch) -> None:
    place(tmp_path / "m.onnx", model(np.ones(12, "f4")), location="m.data")
    (tmp_path / "m.data").write_bytes(bytes(48))
    size = (tmp_path / "m.onnx").stat().st_size
    monkeypatch.setattr(reader, "MAX_SIZE", size + 48)
    read_onnx(tmp_path / "m.onnx")
    monkeypatch.setattr(reader, "MAX_SIZE", size + 47)
    with pytest.raises(DataError) as found:
        read_onnx(tmp_path / "m.onnx")
    assert found.value.why == "its tensors take more than 47 bytes"
