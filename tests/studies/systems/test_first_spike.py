"""The curve of accuracy over mean step: every point by the tool's own figures."""

import json
import sys

import pytest

from asnn.cli.app import run
from asnn.records.open_run import open_run
from studies.systems import first_spike

TINY = ["data.limit=80", "train.epochs=1", "model.name=mlp", "model.features=[8]"]
DRAWN = ["readout.name=first-crossing", "readout.quantity=drawn", "train.loss=first-spike"]


@pytest.mark.slow
def test_the_points_are_those_of_eval(tmp_path, monkeypatch, capsys):
    runs = [str(tmp_path / name) for name in ("drawn", "mean")]
    for path, keys in zip(runs, ([*TINY, *DRAWN], TINY), strict=True):
        changes = [part for each in keys for part in ("--set", each)]
        assert run(["train", *changes, "--out", path]) == 0
    capsys.readouterr()
    assert run(["eval", runs[0], "--noise", "off", "--json"]) == 0
    drawn = json.loads(capsys.readouterr().out)
    assert run(["eval", runs[1], "--exit", "confidence=0.5", "--json"]) == 0
    exits = json.loads(capsys.readouterr().out)["exits"][-1]

    at_one = next(p for p in first_spike.curve(open_run(runs[0])) if p.rule == "level 1")
    assert (at_one.step, at_one.accuracy, at_one.undecided) == (
        drawn["mean_step"], drawn["accuracy"], drawn["undecided"],
    )  # fmt: skip
    at_half = next(first_spike.curve(open_run(runs[1])))
    assert (at_half.step, at_half.accuracy) == (exits["steps"], exits["accuracy"])

    monkeypatch.setattr(sys, "argv", ["first_spike", *runs])
    first_spike.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(first_spike.LEVELS) + len(first_spike.CONFIDENCES)
    steps = [float(line.split("|")[3]) for line in lines[2 : 2 + len(first_spike.LEVELS)]]
    assert steps == sorted(steps)  # a higher level is crossed later
