"""Spikes of each sample: those of the rates, and of a loop over samples; outputs are the same."""

import pytest
import torch
from torch import nn

from asnn.measure.spikes import SampleSpikes, SpikeRates
from asnn.models import create_model
from asnn.models.layers.fusing import pooled
from asnn.models.layers.spiking import SpikingLayer, use_kernels


def model_of(kernels: str, **options):
    torch.manual_seed(3)
    options = {"neuron": "adaptive", "widths": [4, 6], "hidden": 8, **options}
    model = create_model(
        "lenet", in_shape=(1, 11, 9), classes=3, coding="hybrid", steps=3, **options
    )
    for layer in model.modules():  # so that all layers fire
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.data.abs_()
    use_kernels(model.eval(), kernels)
    return model


@pytest.mark.parametrize("kernels", ["auto", "reference"])
@pytest.mark.parametrize("frozen", [True, False])
@torch.no_grad()
def test_each_sample_has_the_spikes_of_a_batch_of_it_alone(kernels, frozen):
    model = model_of(kernels)
    model = model.frozen() if frozen else model
    x = torch.rand(5, 1, 11, 9)
    outputs = model(x)
    with SpikeRates(model) as rates:
        model(x)
    with SampleSpikes(model) as spikes:
        assert torch.equal(model(x), outputs)
        found = spikes.take()
        assert found.shape == (3, 5) and float(found.sum()) == rates.total() > 0
        for b in range(5):
            model(x[b : b + 1])
            assert torch.equal(spikes.take()[:, 0], found[:, b])
    assert torch.equal(model(x), outputs)  # the kernels pool again
    assert all(not m.count_observers for m in model.modules() if isinstance(m, SpikingLayer))


@torch.no_grad()
def test_whole_numbers_count_as_many_times():
    model = model_of("auto", neuron="integrate", neuron_options={"most": 4, "amplitude": 0.1})
    with SpikeRates(model) as rates, SampleSpikes(model) as spikes:
        model(torch.rand(4, 1, 11, 9))
        assert float(spikes.take().sum()) == rates.total() > 0


def test_a_network_without_spikes_has_none():
    model = create_model("lstm", in_shape=(1, 4, 4), classes=2, steps=2, features=[3]).eval()
    with torch.no_grad(), SampleSpikes(model) as spikes:
        model(torch.rand(2, 1, 4, 4))
    assert spikes.take() is None


@pytest.mark.parametrize("pool", [None, 2, (1, 2), (2, 1), 3])
@pytest.mark.parametrize("size", [(6, 6), (5, 7)])
def test_pooling_of_kernels_is_that_of_torch(pool, size):
    spikes = torch.rand(2, 3, 4, *size).round()
    module = None if pool is None else nn.MaxPool2d(pool)
    expected = spikes if module is None else module(spikes.flatten(0, 1)).unflatten(0, (2, 3))
    assert torch.equal(pooled(spikes, module), expected)
