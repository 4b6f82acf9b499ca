"""Conversion to one spike a neuron: the answers and levels of the ANN counterpart."""

import pytest
import torch

from asnn.learning import check_recipe, train
from asnn.learning.trained import ann_counterpart
from asnn.models import load_run
from asnn.models.layers.spiking import layer_outputs
from asnn.records.layout import Run
from asnn.records.open_run import open_run
from tests.support.trainings import KeepTraining

RECIPE = {
    "data": {"limit": 200},
    "coding": {"name": "ttfs", "steps": 8},
    "model": {"name": "mlp", "features": [16, 12], "neuron": "ttfs", "output_scale": False},
    "neuron": {"scale": 2.0},
    "train": {
        "epochs": 0, "ann_epochs": 2, "ann_lr": 0.02, "ann_neuron": "qcfs", "init": "ann",
        "batch_size": 50, "lr": 0.01, "schedule": "constant", "device": "cpu",
    },
}  # fmt: skip


def recipe(**options):
    return check_recipe({**RECIPE, "train": {**RECIPE["train"], **options}})


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    path = tmp_path_factory.mktemp("converted")
    train(recipe(), Run(path), KeepTraining())
    return path


def test_the_counterpart_is_given_the_levels_of_the_code():
    ann = ann_counterpart(recipe())
    assert ann.coding.name == "direct" and ann.coding.options() == {"levels": 8}
    assert ann.neuron.options() == {"levels": 8, "scale": 2.0, "granularity": "layer"}


@pytest.mark.slow
def test_levels_and_answers_are_those_of_the_ann(converted):
    ann, network = load_run(converted / "teacher").double(), load_run(converted).double()
    x = open_run(converted).data.test.inputs[:200].double() / 16
    with torch.no_grad(), layer_outputs(ann) as theirs, layer_outputs(network) as mine:
        expected, found = ann(x)[0], network(x).mean(0)
    assert float((found - expected).abs().max()) < 1e-12
    for name, held in mine.items():
        s = float(network.body.get_submodule(name).neuron.amplitude)
        assert s == float(ann.body.get_submodule(name).neuron.limit) != 2.0
        levels = (theirs[name][0] * 8 / s).round()
        assert torch.equal((held > 0).sum(0), levels.long())
        assert len(levels.unique()) == 9
    # Negative control: weights of normalised pixels.
    stem = network.body.linear1
    with torch.no_grad(), layer_outputs(network) as mine:
        stem.spikes[1].weight.mul_(1.1)
        network(x)
    changed = (mine["spikes1"] > 0).sum(0) != (theirs["spikes1"][0] * 8 / s).round()
    assert float(changed.double().mean()) > 0.02


@pytest.mark.slow
def test_it_trains_on_from_the_conversion(tmp_path, converted):
    """With the gradient of the activation: the weights move, and the run has its files."""
    result = train(recipe(init=str(converted), epochs=1, lr=0.002), Run(tmp_path), KeepTraining())
    before, after = load_run(converted).state_dict(), load_run(tmp_path).state_dict()
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert result["finished"] and any("raw_scale" in name for name in moved)
    assert any("linear2" in name for name in moved)


@pytest.mark.slow
def test_a_relu_network_is_calibrated(tmp_path):
    train(recipe(ann_neuron="relu", calibrate="max"), Run(tmp_path), KeepTraining())
    ann, network = load_run(tmp_path / "teacher"), load_run(tmp_path)
    data = open_run(tmp_path).data
    x = data.train.inputs[:200].float() / 16
    with torch.no_grad(), layer_outputs(ann) as theirs:
        ann(x)
    largest = [float(value.max()) for value in theirs.values()]
    found = [
        float(layer.neuron.amplitude.detach()) for layer in network.body if hasattr(layer, "neuron")
    ]
    assert found == pytest.approx(largest, rel=0.3)


def test_the_counterpart_has_scales_of_channels_where_the_neurons_have():
    by_channel = check_recipe({**RECIPE, "neuron": {"granularity": "channel"}})
    assert ann_counterpart(by_channel).neuron.options()["granularity"] == "channel"
