"""The share of neurons and steps with more than one spike, against a count by hand."""

import pytest
import torch

from asnn.measure.bursts import BurstShares
from asnn.models import create_model
from asnn.models.layers.spiking import SpikingLayer, use_kernels, used_kernels
from asnn.models.neurons.integrate import Integrate


def layer(most, amplitude=0.5):
    return SpikingLayer(None, Integrate(steps=3, most=most, amplitude=amplitude))


# V = 1/2: 2, 1 and 0 spikes of the first neuron; 5, 5 and 0 of the second, which saturates at 3.
X = torch.tensor([[[1.2, 2.8]], [[0.4, 2.8]], [[0.2, -9.0]]])


def test_shares_by_hand():
    model = torch.nn.Sequential(layer(most=3))
    with BurstShares(model) as bursts:
        assert bursts.by_layer() == {}
        out = model(X) / 0.5
        model(torch.zeros(3, 1, 2))
    assert out[:, 0].tolist() == [[2, 3], [1, 3], [0, 0]]
    assert bursts.by_layer() == {"0": pytest.approx(3 / 12)}
    model(X)
    assert bursts.by_layer() == {"0": pytest.approx(3 / 12)}, "the context is closed"


def test_layers_of_single_spikes_are_left_out():
    model = torch.nn.Sequential(layer(most=1))
    with BurstShares(model) as bursts:
        model(X)
    assert bursts.by_layer() == {}


@pytest.mark.parametrize("granularity", ["layer", "channel"])
def test_of_a_frozen_network_with_pools_and_amplitudes_by_channel(granularity):
    torch.manual_seed(0)
    model = create_model(
        "lenet", in_shape=(1, 8, 8), classes=3, steps=4, coding="direct", neuron="integrate",
        neuron_options={"most": 3, "granularity": granularity, "amplitude": 0.2}, widths=[4],
        hidden=6,
    ).eval()  # fmt: skip
    if granularity == "channel":
        neuron = model.body.spikes1.neuron
        neuron.raw_amplitude.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]))
    frozen, found = model.frozen(), []
    neuron = frozen.body.spikes1.neuron
    neuron.register_forward_hook(lambda _, inputs, out: found.append(out))
    with torch.no_grad(), BurstShares(frozen) as bursts:
        frozen(torch.rand(5, 1, 8, 8))
    sent = found[0] / neuron.amplitude.view(-1, 1, 1)
    assert set(bursts.by_layer()) == {"spikes1", "spikes2"}
    assert 0 < bursts.by_layer()["spikes1"] == pytest.approx(float((sent > 1.5).double().mean()))


def test_the_fused_kernels_stay_in_use():
    """What is observed is what the kernels return: no hook is in their way."""
    model = create_model(
        "lenet", in_shape=(1, 8, 8), classes=3, steps=4, neuron="integrate",
        neuron_options={"most": 3, "amplitude": 0.2}, widths=[4], hidden=6,
    ).eval()  # fmt: skip
    use_kernels(model, "fused")
    with torch.no_grad(), BurstShares(model) as bursts:
        model(torch.rand(5, 1, 8, 8))
    assert used_kernels(model) == "fused" and bursts.by_layer()["spikes1"] > 0
