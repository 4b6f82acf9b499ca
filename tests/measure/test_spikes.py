"""Spike rates: counted by hand, over several calls; observers are removed."""

import pytest
import torch
from torch import nn

from asnn.measure import SpikeRates
from asnn.models import create_model
from asnn.models.layers.spiking import SpikingLayer, use_kernels


class Pass(nn.Module):
    """A neuron that returns its input, so that the spikes are known."""

    def forward(self, x):
        return x


def two_layers() -> nn.Sequential:
    return nn.Sequential(SpikingLayer(Pass(), Pass()), SpikingLayer(Pass(), Pass()))


# Two steps, three samples, two neurons: 4 of 6 spikes at the first step, 1 of 6 at the second.
FIRST = torch.tensor([[[1, 1], [0, 1], [1, 0]], [[0, 0], [0, 0], [0, 1]]]).float()


def test_rates_by_hand():
    model = two_layers()
    with SpikeRates(model) as rates:
        model(FIRST)
    assert rates.by_layer() == {"0": [4 / 6, 1 / 6], "1": [4 / 6, 1 / 6]}
    assert rates.mean() == 5 / 12
    assert rates.total() == 2 * (4 + 1)


def test_calls_accumulate():
    model = two_layers()
    with SpikeRates(model) as rates:
        model(FIRST)
        model(torch.ones(2, 1, 2))
    # (4 + 2) / (6 + 2) and (1 + 2) / (6 + 2).
    assert rates.by_layer()["1"] == [6 / 8, 3 / 8]
    assert rates.mean() == 9 / 16


def test_layers_are_weighted_by_their_neurons():
    model = two_layers()
    with SpikeRates(model) as rates:
        model[0](torch.ones(1, 1, 3))
        model[1](torch.zeros(1, 1, 1))
    assert rates.by_layer() == {"0": [1.0], "1": [0.0]}
    assert rates.mean() == 3 / 4


def test_half_precision_spikes_are_counted_exactly():
    model = two_layers()
    with SpikeRates(model) as rates:
        model(torch.ones(1, 1, 5001, dtype=torch.bfloat16))
    assert rates.by_layer()["0"] == [1.0]


def test_rates_are_zero_before_anything_ran():
    with SpikeRates(two_layers()) as rates:
        pass
    assert (rates.by_layer(), rates.mean()) == ({}, 0.0)


def spike_observers(model: nn.Module) -> int:
    return sum(len(m.spike_observers) for m in model.modules() if isinstance(m, SpikingLayer))


def test_observers_are_attached_while_open_and_removed_afterwards():
    model = create_model("lenet", in_shape=(1, 6, 6), classes=2, steps=3, widths=[2], hidden=3)
    x = torch.rand(2, 1, 6, 6)
    with SpikeRates(model) as rates:
        assert spike_observers(model) == 2
        model(x)
    before = rates.by_layer()
    assert spike_observers(model) == 0
    model(x)
    assert rates.by_layer() == before
    with pytest.raises(RuntimeError, match="stop"), SpikeRates(model):
        raise RuntimeError("stop")
    assert spike_observers(model) == 0


def test_spikes_are_counted_before_pooling():
    model = nn.Sequential(SpikingLayer(Pass(), Pass(), nn.MaxPool2d(2)))
    x = torch.zeros(1, 1, 1, 2, 2)
    x[..., 0, 0] = 1
    with SpikeRates(model) as rates:
        pooled = model(x)
    assert pooled.mean() == 1
    assert rates.mean() == 1 / 4


def test_fused_and_reference_kernels_count_the_same():
    pytest.importorskip("numba")
    torch.manual_seed(0)
    model = create_model(
        "lenet", in_shape=(1, 7, 9), classes=2, steps=3, widths=[9, 5], neuron_options={"gain": 2.0}
    )
    x = torch.rand(5, 1, 7, 9)
    rates = {}
    for kernels in ("fused", "reference"):
        use_kernels(model.eval(), kernels)
        with torch.no_grad(), SpikeRates(model) as counted:
            model(x)
        rates[kernels] = counted.by_layer()
    assert rates["fused"] == rates["reference"]
    assert counted.mean() > 0.01
