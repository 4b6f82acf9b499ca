"""Names of the files of an export, as docs/export.md states them."""

from pathlib import Path

import pytest

from asnn.exporters.paths import ExportPaths


@pytest.mark.parametrize(
    ("out", "report"),
    [
        ("x/export/onnx", "x/export/onnx/parity.json"),
        ("x/export/onnx-mine", "x/export/onnx-mine/parity.json"),
        ("onnx", "onnx/parity.json"),
        ("mine", "mine/model.onnx.parity.json"),
        ("onnx-mine", "onnx-mine/model.onnx.parity.json"),
        ("x/export/nir", "x/export/nir/model.onnx.parity.json"),
        ("a.onnx", "a.onnx.parity.json"),
    ],
)
def test_the_name_of_the_report(out, report):
    assert ExportPaths.at(Path(out), ".onnx").parity == Path(report)
