"""Learned schedules as plain numbers, and schedules replaced by their mean."""

import pytest
import torch

from asnn.coding.samples import SampleSpec
from asnn.measure import frozen_schedules, recalibrate, schedules
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


def test_schedules_by_channel_are_given_as_channel_means():
    model = network(neuron_options={"granularity": "channel"})
    with torch.no_grad():
        model.body.spikes1.neuron.gain.copy_(
            torch.tensor([[0.0, 1.0, 2.0], [3.0, 3.0, 3.0], [-1.0, 0.0, 0.25]])
        )
    assert schedules(model)["spikes1"]["gain"] == [1.0, 3.0, -0.25]


def test_fixed_neurons_have_schedules_but_no_scale():
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
def test_other_learned_parameters(options, name, values):
    assert schedules(network(neuron_options=options))["spikes1"][name] == values
    assert name not in schedules(network())["spikes1"]


def test_numbers_are_plain_copies():
    model = network()
    found = schedules(model)
    assert all(type(v) is float for layer in found.values() for k in layer.values() for v in k)
    with torch.no_grad():
        model.body.readout.scale.mul_(2)
    assert found["readout"]["scale"] == [1.0, 1.0, 1.0]


def test_frozen_schedules_by_hand():
    model = network(neuron_options={"learn_reset_size": True})
    neuron = model.body.spikes1.neuron
    with torch.no_grad():
        neuron.leak.copy_(torch.tensor([9.0, 0.25, 0.75]))  # the membrane of step 1 is 0
        neuron.gain.copy_(torch.tensor([0.0, 0.5, 2.5]))
        neuron.reset_size.copy_(torch.tensor([1.0, 2.0, 6.0]))
        model.body.readout.scale.copy_(torch.tensor([2.0, 0.5, 0.5]))
    found = schedules(frozen_schedules(model))
    assert found["spikes1"] == {
        "leak": [0.5] * 3,
        "gain": [1.0] * 3,
        "reset_size": [3.0] * 3,
    }
    assert found["readout"] == {"scale": [1.0] * 3}
    assert schedules(model)["spikes1"]["gain"] == [0.0, 0.5, 2.5]  # the network is not changed


def test_frozen_schedules_keep_channels_separate():
    model = network(neuron_options={"granularity": "channel"})
    gain = model.body.spikes1.neuron.gain
    with torch.no_grad():
        gain.copy_(torch.tensor([[0.0, 1.0, 2.0], [3.0, 3.0, 3.0], [0.0, 2.0, 1.0]]))
    frozen = frozen_schedules(model).body.spikes1.neuron.gain
    assert torch.equal(frozen, torch.tensor([[1.0, 2.0, 2.0]] * 3))


@pytest.mark.parametrize(
    "options", [{"neuron": "fixed"}, {"neuron_options": {"schedule": "shared"}}]
)
def test_constant_schedules_are_their_own_mean(options):
    model = network(output_scale=False, **options).eval()
    x = torch.rand(8, 1, 2, 2)
    assert torch.equal(frozen_schedules(model)(x), model(x))


def test_network_of_one_step_keeps_its_schedule():
    model = create_model("mlp", in_shape=(1, 2, 2), classes=2, steps=1, coding="direct")
    assert schedules(frozen_schedules(model)) == schedules(model)


def test_recalibration_gives_means_over_batches():
    torch.manual_seed(0)
    model = network(neuron="fixed", coding="direct").eval()
    batches = [(torch.rand(8, 1, 2, 2), None) for _ in range(5)]
    recalibrate(model, batches)
    inputs = [model.body.linear1.analog(x).detach() for x, _ in batches]
    norm = model.body.spikes1.norm.norm
    torch.testing.assert_close(norm.running_mean, torch.stack([x.mean(0) for x in inputs]).mean(0))
    # The running variance is that of the T·B samples of a batch over time.
    repeated = [x.repeat(3, 1) for x in inputs]
    torch.testing.assert_close(
        norm.running_var, torch.stack([x.var(0) for x in repeated]).mean(0), rtol=0.2, atol=1e-3
    )
    assert norm.momentum == 0.1
    assert not model.training
    before = norm.running_mean.clone()
    recalibrate(model, batches[:1])
    assert not torch.equal(norm.running_mean, before)


def test_weights_of_a_recurrent_layer_are_no_schedule():
    sample = SampleSpec("series", (2,), steps=3)
    options = {"in_shape": (2,), "classes": 2, "coding": "given", "steps": 3, "sample": sample}
    model = create_model("rsnn", features=[4], neuron="adaptive", **options)
    with torch.no_grad():
        model.body.spikes1.neuron.neuron.leak.copy_(torch.tensor([0.5, 0.25, 0.75]))
    assert schedules(model)["spikes1"] == {"leak": [0.5, 0.25, 0.75], "gain": [0.5] * 3}
