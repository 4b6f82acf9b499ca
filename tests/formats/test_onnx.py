"""ONNX files: the model is unchanged; invalid and hostile ones are refused."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from asnn.formats.onnx import read_onnx
from tests.support.format_files import onnx_model
from tests.support.hostile_formats import HOSTILE, check_refused


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in HOSTILE if case[1] == ".onnx"], ids=" ".join)
def test_hostile_files_are_refused_in_one_line(case, tmp_path):
    check_refused(case, tmp_path)


def test_the_model_is_unchanged(tmp_path):
    model = onnx_model(doc_string="made by hand")
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert read_onnx(tmp_path / "m.onnx") == model


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "int64", "bool"])
@pytest.mark.parametrize("raw", [True, False])
def test_tensors_of_every_storage_are_accepted(dtype, raw, tmp_path):
    values = np.array([1, 0, 1, 1], dtype)
    tensor = numpy_helper.from_array(values, "extra")
    if not raw:
        code = tensor.data_type
        tensor = onnx.helper.make_tensor("extra", code, [4], values.tolist())
    model = onnx_model()
    model.graph.initializer.append(tensor)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert len(read_onnx(tmp_path / "m.onnx").graph.initializer) == 3


def test_infinite_masks_are_accepted(tmp_path):
    model = onnx_model()
    model.graph.initializer.append(numpy_helper.from_array(np.array([-np.inf], "f4"), "mask"))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    read_onnx(tmp_path / "m.onnx")
