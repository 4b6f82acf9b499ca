"""`asnn eval --equivariance`: its tables, and its effect on a trained network."""

import json

import pytest

from asnn.cli.commands.eval.equivariance import show_equivariance
from asnn.cli.terminal import completion
from asnn.core.metric import ACCURACY
from asnn.measure.equivariance import NAMES


def row(transform, amount, share):
    layer = {"equal_spikes": share, "spikes": 10, "differing": None if share is None else 2}
    return {
        "transform": transform,
        "amount": amount,
        "accuracy": 0.5,
        "equal_answers": 0.75,
        "output_change": 0.125,
        "layers": {"spikes1": layer},
    }


def test_a_table_names_transforms_and_layers(capsys):
    show_equivariance([row("rot90", 90, 0.5), row("flip", 0, 1.0), row("shift", 1, None)], ACCURACY)
    lines = capsys.readouterr().err.splitlines()
    table = [" ".join(line.split()) for line in lines]
    assert "equivariance: samples turned, flipped or moved" in table
    assert "rot90 90 flip shift 1" in table
    assert "accuracy, % 50.00 50.00 50.00" in table
    assert "equal answers, % 75.00 75.00 75.00" in table
    assert "change of outputs, % 12.50 12.50 12.50" in table
    assert "equal spikes spikes1, % 50.00 100.00 –" in table
    assert "shift 1 is not a whole number of pixels of every layer" in table


def test_many_transforms_are_shown_in_several_tables(capsys):
    show_equivariance([row("shift", pixels, 1.0) for pixels in range(1, 8)], ACCURACY)
    assert capsys.readouterr().err.count("equal answers") == 2


def test_completion_knows_all_transforms():
    assert completion.TRANSFORMS == NAMES


@pytest.mark.slow
def test_of_a_trained_network(cli, trained):
    result = cli("eval", trained, "--equivariance", "rot90,flip,shift", "--json")
    assert result.code == 0 and result.err == ""
    found = json.loads(result.out)
    rows = found["equivariance"]
    assert [(row["transform"], row["amount"]) for row in rows] == [
        ("rot90", 90), ("rot90", 180), ("rot90", 270), ("flip", 0), ("shift", 1),
    ]  # fmt: skip
    for each in rows:
        assert each["equal_answers"] < 1 and 0 <= each["accuracy"] <= 1
        assert list(each["layers"]) == ["spikes1", "spikes2", "spikes3"]
    shown = cli("eval", trained, "--equivariance", "flip")
    assert shown.code == 0 and "equal spikes spikes1, %" in shown.err


@pytest.mark.slow
def test_an_unknown_transform_is_refused_before_anything_is_evaluated(cli, trained):
    result = cli("eval", trained, "--equivariance", "flip,rot45")
    assert result.code == 2 and "rot45" in result.err and "rot90" in result.err
    assert "evaluating" not in result.err
