"""What `inspect` lists of an ONNX model, and what it warns of."""

import onnx

from asnn.inspection import inspect
from tests.support.format_files import onnx_model


def test_operators_of_another_domain(tmp_path):
    node = onnx.helper.make_node("Magic", ["x"], ["y"], domain="my.own", name="m")
    model = onnx_model(nodes=[node], opset="my.own", doc_string="by hand")
    onnx.helper.set_model_props(model, {"code": "hybrid"})
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    found = inspect(tmp_path / "m.onnx")
    assert found["operators"] == {"my.own::Magic": 1} and found["parameters"] == 16
    assert found["metadata"] == {"code": "hybrid"} and found["doc"] == "by hand"
    assert any("'my.own'" in warning for warning in found["warnings"])


def test_inputs_and_outputs(tmp_path):
    (tmp_path / "m.onnx").write_bytes(onnx_model().SerializeToString())
    found = inspect(tmp_path / "m.onnx")
    assert found["inputs"] == [{"name": "x", "type": "float", "shape": ["N", 3]}]
    assert found["outputs"] == [{"name": "y", "type": "float", "shape": ["N", 4]}]
    assert found["opset"] == {"ai.onnx": 20} and found["warnings"] == []
