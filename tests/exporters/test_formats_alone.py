"""Each format is exported and verified without the packages of the other."""

import subprocess
import sys

import pytest

from asnn.cli.commands.export.command import DEFAULT_OPSET
from asnn.exporters.onnx.forms import OPSET

CODE = """
import sys
for name in {missing}:
    sys.modules[name] = None
from asnn.exporters import export_{format}, random_samples, source_of, verify
from asnn.models import create_model
model = create_model("mlp", in_shape=(1, 4, 4), classes=3, steps=2, features=[5], coding="direct")
source, samples = source_of(model), random_samples((1, 4, 4), 8)
done = export_{format}(source, {folder!r}, samples=samples)
file = next(iter(done.files))
print(done.report.verified, verify(source, file, samples).verified)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "missing"), [("onnx", ["nir", "h5py"]), ("nir", ["onnx", "onnxruntime"])]
)
def test_a_format_without_the_packages_of_the_other(tmp_path, format, missing):
    code = CODE.format(format=format, missing=missing, folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "True True\n", done.stderr


def test_the_default_of_the_command_is_that_of_the_exporter():
    assert DEFAULT_OPSET == OPSET
