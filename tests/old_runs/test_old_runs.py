"""Runs of former versions are evaluated, resumed and inspected; newer formats are refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from asnn.cli.app import run

FOLDERS = sorted(path for path in Path(__file__).parent.glob("format-*") if path.is_dir())
NAMES = [path.name for path in FOLDERS]


@pytest.fixture(params=FOLDERS, ids=NAMES)
def old(request, tmp_path, monkeypatch) -> Path:
    """A copy of the runs of one format, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(request.param, tmp_path / "old"))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_a_finished_run_is_evaluated_and_inspected(old, capsys):
    summary = json.loads((old / "finished/summary.json").read_text())
    assert run(["eval", str(old / "finished"), "--split", "validation", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"] == pytest.approx(summary["best"]["validation_accuracy"])
    assert run(["inspect", str(old / "finished")]) == 0


@pytest.mark.slow
def test_a_finished_run_predicts(old, capsys):
    np.save("x.npy", np.zeros((2, 8, 8), np.uint8))
    assert run(["predict", str(old / "finished"), "x.npy", "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["class"] == second["class"] and 0 < first["confidence"] < 1


@pytest.mark.slow
def test_an_interrupted_run_is_resumed(old):
    """It ends with the epochs of the finished run, and with its weights up to rounding: machine and
    versions may differ. Running statistics go on by a rule that 0.1.0 did not have."""
    assert run(["train", "--resume", str(old / "interrupted")]) == 0
    finished = load_file(old / "finished/model.safetensors")
    resumed = load_file(old / "interrupted/model.safetensors")
    assert finished.keys() == resumed.keys()
    for name in finished:
        close = 1e-1 if "running" in name else 1e-2
        assert finished[name].sub(resumed[name]).abs().max() < close, name
    metrics = lines(old / "interrupted/metrics.jsonl")
    assert [each["epoch"] for each in metrics] == [1, 2]
    assert metrics[0].keys() == metrics[1].keys() and "seconds" not in metrics[0]
    assert [each["epoch"] for each in lines(old / "interrupted/times.jsonl")] == [1, 2]


def test_a_finished_run_is_trained_for_longer(old):
    assert run(["train", "--resume", str(old / "finished"), "--set", "train.epochs=3"]) in (0, 4)


def test_a_newer_format_is_refused(old, capsys):
    for command, name in ((["eval"], "finished"), (["train", "--resume"], "interrupted")):
        config = old / name / "config.toml"
        lines = [line for line in config.read_text().splitlines() if not line.startswith("format")]
        config.write_text("\n".join(["format = 99", *lines]))
        assert run([*command, str(old / name)]) == 2
        assert "format: 99 is not a format that this asnn reads" in capsys.readouterr().err
