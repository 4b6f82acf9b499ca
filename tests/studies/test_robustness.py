"""Accuracy against severity by code: the table by hand, and two runs."""

import sys

import pytest
from PIL import Image

from asnn.cli.app import run
from asnn.measure.robustness.corruptions import corruption_registry
from studies import robustness
from tests.support.small_lenet import NAMES


def row(name, severity, accuracy):
    return {"corruption": name, "severity": severity, "accuracy": accuracy}


def test_the_table_by_hand():
    direct = [row("blur", 0, 0.9), row("blur", 0.5, 0.8), row("quantize", 0, 0.9)]
    temporal = [row("spike-drop", 0, 0.7), row("spike-drop", 0.5, 0.25), row("blur", 0, 0.7)]
    temporal.append(row("blur", 0.5, 0.6))
    assert robustness.table({"direct": direct, "temporal": temporal}) == [
        "| corruption | severity | direct | temporal |",
        "| --- | ---: | ---: | ---: |",
        "|  | clean | 90.0 | 70.0 |",
        "| blur | 0.5 | 80.0 | 60.0 |",
        "| spike-drop | 0.5 |  | 25.0 |",
    ]


@pytest.mark.slow
def test_two_runs(tmp_path, monkeypatch, capsys):
    tiny = ["data.limit=80", "train.epochs=1", "model.widths=[4]", "model.hidden=8"]
    changes = [part for each in tiny for part in ("--set", each)]
    runs = [str(tmp_path / name) for name in ("direct", "temporal")]
    for path, code in zip(runs, ("direct", "temporal"), strict=True):
        assert run(["train", *changes, "--set", f"coding.name={code}", "--out", path]) == 0
    capsys.readouterr()
    picture = tmp_path / "robustness.png"
    monkeypatch.setattr(
        sys, "argv", ["robustness", *runs, "--limit", "20", "--picture", str(picture)]
    )
    robustness.main()
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert lines[0][2:] == ["direct", "temporal |"]
    # Images are not corrupted as events or series are.
    levels = [corruption_registry.get(name).severities for name in NAMES]
    assert len(lines) == 3 + sum(map(len, levels))
    for line in lines[3:]:
        assert (line[2] == "") == line[0].startswith("| spike")
        assert float(line[3].rstrip(" |")) % 5 == 0  # of 20 images
    with Image.open(picture) as drawn:
        assert drawn.format == "PNG"
