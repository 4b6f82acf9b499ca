"""`asnn train` with a start: a conversion is a run like any other to every command."""

import json

import pytest

from tests.support.command_line import TINY

START = [
    *TINY,
    *("--set", "coding.name=direct", "--set", "model.neuron=integrate"),
    *("--set", "neuron.most=5", "--set", "train.init=ann", "--set", "train.ann_epochs=2"),
    *("--set", "train.epochs=0"),
]


@pytest.fixture
def converted(cli):
    """What a conversion into `run` printed."""
    result = cli("train", *START, "--out", "run", "--json")
    assert result.code == 0, result.err
    return result


def test_a_conversion_says_what_it_did(converted):
    assert "digits-teacher: lenet with relu neurons" in converted.err
    assert "start: the weights of the ANN counterpart" in converted.err
    assert "calibrated (mse, 200 samples): the amplitudes of spikes1, spikes2, sp" in converted.err
    assert "start  validation accuracy" in converted.err
    assert "in epoch 0" in converted.err
    found = json.loads(converted.out)
    assert found["finished"] is True and found["best"]["epoch"] == 0


@pytest.mark.slow
def test_a_conversion_is_evaluated_listed_reported_and_exported(cli, converted, tmp_path):
    evaluated = cli("eval", "run", "--energy", "--json")
    assert evaluated.code == 0 and json.loads(evaluated.out)["samples"] == 359
    (run,) = json.loads(cli("runs", ".", "--json").out)["runs"]
    assert (run["state"], run["faults"], run["epoch"], run["epochs"]) == ("finished", [], 0, 0)
    assert "done" in cli("runs", ".").err
    assert cli("report", "run", "-o", "page.html").code == 0
    assert (tmp_path / "page.html").is_file()
    exported = cli("export", "run", "--format", "onnx", "--json")
    assert exported.code == 0 and json.loads(exported.out)["verified"] is True, exported.err
    assert cli("inspect", "run").code == 0
    again = cli("train", "--resume", "run")
    assert again.code == 2 and "finished already" in again.err
    longer = cli("train", "--resume", "run", "--set", "train.epochs=1")
    assert longer.code == 0, longer.err
    assert "epoch 1/1" in longer.err and "start  validation" not in longer.err
    (run,) = json.loads(cli("runs", ".", "--json").out)["runs"]
    assert (run["state"], run["epoch"], run["epochs"]) == ("finished", 1, 1)


def test_no_epochs_without_a_start_are_a_fault_of_the_recipe(cli, tmp_path):
    result = cli("train", "--set", "train.epochs=0", "--out", "run")
    assert result.code == 2 and "train.epochs: 0 epochs keep the weights" in result.err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_other_neurons_are_named(cli):
    recipe = [*START, "--set", "model.neuron=adaptive", "--set", "train.ann_epochs=1"]
    result = cli("train", *recipe[: recipe.index("neuron.most=5") - 1],
                 *recipe[recipe.index("neuron.most=5") + 1 :], "--out", "run")  # fmt: skip
    assert result.code == 0, result.err
    assert "not calibrated (no amplitude): spikes1, spikes2, spikes3" in result.err


def test_a_dry_run_checks_the_start_and_trains_nothing(cli, tmp_path):
    result = cli("train", *START, "--dry-run", "--json")
    assert result.code == 0 and json.loads(result.out)["parameters"] > 0, result.err
    assert list(tmp_path.iterdir()) == []
    bad = cli("train", *START, "--set", "train.init=nowhere", "--dry-run")
    assert bad.code == 4 and "nowhere is not a run" in bad.err
