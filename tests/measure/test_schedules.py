"""What a network has learned about time, as plain numbers."""

import pytest
import torch

from asnn.measure import schedules
from asnn.models import create_model


def network(**options):
    return create_model("mlp", in_shape=(1, 2, 2), classes=2, features=[3, 5], steps=3, **options)


def test_every_layer_and_the_readout_by_name():
    model = network()
    with torch.no_grad():
        model.body.spikes2.neuron.leak.copy_(torch.tensor([0.25, -1.5, 2.0]))
        model.body.readout.scale.copy_(torch.tensor([1.0, 0.75, 0.5]))
    half = [0.5, 0.5, 0.5]
    assert schedules(model) == {
        "spikes1": {"leak": half, "gain": half},
        "spikes2": {"leak": [0.25, -1.5, 2.0], "gain": half},
        "readout": {"scale": [1.0, 0.75, 0.5]},
    }


def test_channels_are_averaged():
    model = network(neuron_options={"granularity": "channel"})
    with torch.no_grad():
        model.body.spikes1.neuron.gain.copy_(
            torch.tensor([[0.0, 1.0, 2.0], [3.0, 3.0, 3.0], [-1.0, 0.0, 0.25]])
        )
    assert schedules(model)["spikes1"]["gain"] == [1.0, 3.0, -0.25]


def test_fixed_neurons_have_schedules_and_no_scale():
    found = schedules(network(neuron="fixed"))
    assert list(found) == ["spikes1", "spikes2"]
    assert found["spikes1"] == {"leak": [0.5] * 3, "gain": [0.5] * 3}


@pytest.mark.parametrize(
    ("options", "name", "values"),
    [
        ({"learn_threshold": True}, "threshold", [1.0]),
        ({"learn_reset_size": True}, "reset_size", [1.0, 1.0, 1.0]),
    ],
)
def test_what_else_is_learned(options, name, values):
    assert schedules(network(neuron_options=options))["spikes1"][name] == values
    assert name not in schedules(network())["spikes1"]


def test_numbers_are_plain_and_cut_off_from_the_network():
    model = network()
    found = schedules(model)
    assert all(type(v) is float for layer in found.values() for k in layer.values() for v in k)
    with torch.no_grad():
        model.body.readout.scale.mul_(2)
    assert found["readout"]["scale"] == [1.0, 1.0, 1.0]
