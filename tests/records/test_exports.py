"""Whether the verification of an export still holds."""

import hashlib
import json

import pytest

from asnn.records.exports import (
    CHANGED,
    NOT_VERIFIED,
    OTHER_WEIGHTS,
    UNKNOWN,
    UNSTATED,
    VERIFIED,
    export_state,
    export_states,
    state_of_file,
)
from asnn.records.layout import Run
from asnn.records.record import read_exports


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def run(tmp_path):
    """A run with the bytes of an export, and the report that verified them."""
    run = Run(tmp_path)
    run.model.write_bytes(b"weights")
    run.summary.write_text(
        json.dumps({"finished": True, "sha256": {"model.safetensors": sha256(b"weights")}})
    )
    folder = tmp_path / "export" / "onnx"
    folder.mkdir(parents=True)
    (folder / "a.onnx").write_bytes(b"a")
    (folder / "b.onnx").write_bytes(b"b")
    report(
        run,
        verified=True,
        files={"a.onnx": 1, "b.onnx": 1},
        sha256={"a.onnx": sha256(b"a"), "b.onnx": sha256(b"b")},
        weights_sha256=sha256(b"weights"),
    )
    return run


def report(run, **values):
    path = run.path / "export" / "onnx" / "parity.json"
    former = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**former, **values}))


def state(run):
    return export_states(run, read_exports(run))["onnx"]


def test_nothing_has_changed(run):
    found = state(run)
    assert (found.state, found.verified, found.reason) == (VERIFIED, True, "")
    assert found.files == {"a.onnx": VERIFIED, "b.onnx": VERIFIED}
    assert state_of_file(run.path / "export/onnx/a.onnx").state == VERIFIED


@pytest.mark.parametrize("content", [b"A", b"longer", None])
def test_a_file_that_was_edited_or_removed(run, content):
    path = run.path / "export/onnx/a.onnx"
    path.unlink() if content is None else path.write_bytes(content)
    found = state(run)
    assert (found.state, found.verified) == (CHANGED, False)
    assert found.files == {"a.onnx": CHANGED, "b.onnx": VERIFIED}
    if content is not None:
        assert state_of_file(path).state == CHANGED
    assert state_of_file(path.with_name("b.onnx")).state == VERIFIED


def test_weights_that_were_trained_on_since(run):
    summary = {"finished": True, "sha256": {"model.safetensors": sha256(b"longer")}}
    run.summary.write_text(json.dumps(summary))
    found = state(run)
    assert (found.state, found.verified) == (OTHER_WEIGHTS, False)
    assert state_of_file(run.path / "export/onnx/a.onnx").state == OTHER_WEIGHTS


def test_a_run_of_0_1_0_has_its_weights_read(run):
    run.summary.write_text('{"finished": true}')
    assert state(run).state == VERIFIED
    run.model.write_bytes(b"changed")
    assert state(run).state == OTHER_WEIGHTS


def test_a_report_without_checksums_says_that_it_is_not_known(run):
    report(run, sha256=None)
    found = state(run)
    assert (found.state, found.verified) == (UNSTATED, True)
    assert "not known" in found.reason


def test_other_reports(run):
    report(run, verified=False)
    assert state(run).state == NOT_VERIFIED
    (run.path / "export/onnx/parity.json").write_text("{")
    assert (state(run).state, state(run).verified) == (UNKNOWN, None)
    assert state_of_file(run.path / "export/onnx/a.onnx") is None


def test_a_name_that_leads_out_of_the_folder_is_not_followed(run, tmp_path):
    (tmp_path / "secret").write_bytes(b"s")
    found = export_state(
        run.path / "export/onnx",
        {"verified": True, "files": {"../../secret": 1}, "sha256": {"../../secret": sha256(b"s")}},
        None,
    )
    assert found.state == CHANGED
