"""`train.kernels`: applied to the network, recorded, and repeatable bit for bit."""

import json
import tomllib

import pytest
import torch

from asnn.core import ConfigError
from asnn.learning import check_recipe, prepare, train
from asnn.models.layers.convolution import SpikeConv2d
from asnn.models.layers.spiking import SpikingLayer
from asnn.records.layout import Run
from tests.support.trainings import KeepTraining

RECIPE = {
    "data": {"limit": 96},
    "coding": {"name": "hybrid", "steps": 3},
    "model": {"name": "lenet", "widths": [16, 32], "hidden": 16},
    "train": {"epochs": 2, "batch_size": 32, "lr": 0.01, "device": "cpu"},
}


def recipe_of(**options):
    return check_recipe({**RECIPE, "train": {**RECIPE["train"], **options}})


def weights_of(path, **options):
    path.mkdir()
    observer = KeepTraining()
    train(recipe_of(**options), Run(path), observer)
    return observer.training.model.state_dict()


@pytest.mark.parametrize("kernels", ["auto", "fused", "reference"])
def test_the_choice_is_applied_to_every_layer(tmp_path, kernels):
    model = prepare(recipe_of(kernels=kernels), Run(tmp_path)).model
    layers = [m for m in model.modules() if isinstance(m, SpikingLayer | SpikeConv2d)]
    assert len(layers) == 6
    assert {layer.kernels for layer in layers} == {kernels}


def test_auto_is_the_default():
    assert recipe_of().train.kernels == "auto"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernels", "used"), [("auto", "fused"), ("fused", "fused"), ("reference", "reference")]
)
def test_a_run_records_the_chosen_and_the_used_kernels(tmp_path, kernels, used):
    pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")
    summary = train(recipe_of(kernels=kernels), Run(tmp_path), KeepTraining())
    assert summary["kernels"] == used
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    config = tomllib.loads((tmp_path / "config.toml").read_text())
    assert config["train"]["kernels"] == kernels


@pytest.mark.slow
def test_a_run_records_the_time_spent_waiting_for_data(tmp_path):
    train(recipe_of(), Run(tmp_path), KeepTraining())
    lines = [json.loads(line) for line in (tmp_path / "times.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    assert all(0 <= line["data_seconds"] <= line["seconds"] for line in lines)


def test_another_choice_is_refused():
    with pytest.raises(ConfigError) as caught:
        recipe_of(kernels="fast")
    assert "train.kernels" in caught.value.why


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["mean", "tet"])
def test_fused_training_repeats_bit_for_bit(tmp_path, loss):
    pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")
    first = weights_of(tmp_path / "a", kernels="fused", loss=loss)
    again = weights_of(tmp_path / "b", kernels="fused", loss=loss)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    other = weights_of(tmp_path / "c", kernels="fused", loss=loss, seed=1)  # the negative control
    assert not torch.equal(first["body.conv2.layer.weight"], other["body.conv2.layer.weight"])


@pytest.mark.slow
def test_the_losses_are_not_the_same(tmp_path):
    mean, tet = (weights_of(tmp_path / loss, loss=loss) for loss in ("mean", "tet"))
    assert not torch.equal(mean["body.readout.linear.weight"], tet["body.readout.linear.weight"])


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["mean", "tet"])
def test_fused_training_learns(tmp_path, loss):
    pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")
    summary = train(recipe_of(kernels="fused", loss=loss, epochs=8), Run(tmp_path), KeepTraining())
    assert summary["last"]["train_accuracy"] > 0.6
    assert summary["last"]["train_loss"] < 2.0  # of ln 10 = 2.30 at first


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["mean", "tet"])
def test_the_first_loss_is_that_of_the_reference(tmp_path, loss):
    """One step on all data: before the first update, the kernels differ by rounding alone."""
    pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")
    options = {"loss": loss, "epochs": 1, "batch_size": 96}
    for kernels in ("fused", "reference"):
        (tmp_path / kernels).mkdir()
    fused, reference = (
        train(recipe_of(kernels=kernels, **options), Run(tmp_path / kernels), KeepTraining())
        for kernels in ("fused", "reference")
    )
    assert (fused["kernels"], reference["kernels"]) == ("fused", "reference")
    # A spike flip in one of 30,000 neurons changes the loss of one sample of 96.
    assert fused["last"]["train_loss"] == pytest.approx(reference["last"]["train_loss"], rel=2e-3)
