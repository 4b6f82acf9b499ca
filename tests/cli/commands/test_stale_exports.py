"""Exports whose file or whose weights have changed since they were verified."""

import hashlib
import json
import shutil

import pytest

from asnn.inspection import inspect
from tests.support.command_line import TINY


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.slow
def test_exports_state_their_checksums_and_inspect_compares_them(cli, tmp_path):
    assert cli("train", *TINY, "--out", "a").code == 0
    files = {"onnx": ["model.onnx"], "nir": ["model.nir", "model.golden.nir"]}
    for name, written in files.items():
        assert cli("export", "a", "--format", name, "--samples", "2").code == 0
        parity = json.loads((tmp_path / f"a/export/{name}/parity.json").read_text())
        for file in written:
            content = (tmp_path / f"a/export/{name}" / file).read_bytes()
            assert parity["sha256"][file] == sha256(content)
        assert parity["weights_sha256"] == sha256((tmp_path / "a/model.safetensors").read_bytes())
    assert not any("verif" in text for text in inspect(tmp_path / "a")["warnings"])
    assert inspect(tmp_path / "a/export/onnx/model.onnx")["verification"] == "verified"
    assert "the export in" not in cli("runs", "list", ".").err

    assert cli("train", "--resume", "a", "--set", "train.epochs=9").code == 0
    weights = (tmp_path / "a/model.safetensors").read_bytes()
    assert parity["weights_sha256"] != sha256(weights), "the control: the weights have changed"
    shown = cli("inspect", "a").err
    assert "of other weights" in shown and "export/onnx is of other weights" in shown
    assert "export/onnx is of other weights" in " ".join(cli("runs", "list", ".").err.split())
    assert inspect(tmp_path / "a/export/nir/model.nir")["verification"] == "of other weights"


@pytest.mark.slow
def test_the_report_says_that_an_export_is_stale(cli, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "a")
    assert cli("export", "a", "--format", "onnx", "--samples", "2").code == 0
    assert cli("report", "a", "-o", "before.html").code == 0
    with open(tmp_path / "a/export/onnx/model.onnx", "ab") as file:
        file.write(b" ")
    assert cli("report", "a", "-o", "after.html").code == 0
    before, after = ((tmp_path / f"{name}.html").read_text() for name in ("before", "after"))
    assert "yes: changed since" in after and "changed since" not in before
