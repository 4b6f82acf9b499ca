"""Counts, footprint and sparsity equal those of NeuroBench."""

import pytest
import torch
from torch import nn

from asnn.measure import Operations
from asnn.measure.cost.fan_out import FanOut
from asnn.models import create_model
from asnn.models.layer import SPIKES, VALUES
from tests.support.sparse_layers import images, sparse, with_zeros


@pytest.mark.parametrize("spikes", [True, False])
def test_operations_equal_those_of_neurobench(spikes):
    macs = pytest.importorskip(
        "neurobench.metrics.utils.layers", reason="neurobench is not installed"
    )
    layers = [
        (with_zeros(nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)), (3, 4, 7, 7)),
        (with_zeros(nn.Conv2d(4, 6, 3, padding=2, dilation=2)), (3, 4, 7, 7)),
        (with_zeros(nn.Linear(20, 7)), (3, 20)),
    ]
    for layer, shape in layers:
        x = sparse(*shape) if spikes else sparse(*shape) * torch.randn(shape)
        fan_out = FanOut(layer, shape[1:])
        theirs, spiking = macs.single_layer_MACs(x.clone(), layer)
        dense, _ = macs.single_layer_MACs(x.clone(), layer, total=True)
        assert spiking is spikes
        assert float(fan_out.count(x, SPIKES if spikes else VALUES)[0].sum()) == float(theirs)
        assert fan_out.dense * len(x) == float(dense)


def test_footprint_and_sparsity_equal_those_of_neurobench():
    static = pytest.importorskip("neurobench.metrics.static", reason="neurobench is not installed")
    model = create_model("lenet", in_shape=(1, 8, 8), classes=3, widths=[3, 4], hidden=5).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            with_zeros(module)
    network = model.frozen()
    with torch.no_grad(), Operations(network) as operations:
        network(images(2, 1, 8, 8))
    found = operations.counts()

    class Wrapped:
        def __net__(self):
            return network

    assert found.footprint == static.Footprint()(Wrapped())
    theirs = static.ConnectionSparsity()(Wrapped())
    assert round(found.connection_sparsity(), 4) == theirs > 0.2
