"""The layer graph: which inputs are spikes, and modules of other packages."""

import pytest
import torch
from torch import nn

from asnn.coding import create_coding
from asnn.measure import Operations
from asnn.measure.cost.layer_graph import LayerGraph
from asnn.models import SpikingNetwork, create_model
from asnn.models.layers.spiking import SpikingLayer
from asnn.models.layers.stem import Stem
from asnn.models.layers.time import OverTime
from asnn.models.networks import blocks
from asnn.models.neurons.leaky import FixedLeaky
from asnn.models.readouts import Readout
from tests.support import brute_force
from tests.support.sparse_layers import images, lively


def test_sums_of_spikes_are_values_and_gated_spikes_are_spikes():
    model = create_model("sew-resnet", in_shape=(1, 8, 8), classes=3, steps=2, width=2)
    kinds = {info.name: info.spikes for info in LayerGraph.of(model.body).layers}
    assert kinds["block1.main.conv1"]  # of spikes
    assert not kinds["block2.main.conv1"]  # of their sums
    gated = create_model(
        "sew-resnet", in_shape=(1, 8, 8), classes=3, steps=2, width=2, connect="iand"
    )
    assert {info.name: info.spikes for info in LayerGraph.of(gated.body).layers}[
        "block2.main.conv1"
    ]


class ThirdParty(nn.Module):
    """A module of another package, over time: once for all steps, or step by step."""

    def __init__(self, looped):
        super().__init__()
        self.inner = nn.Conv2d(2, 2, 3, padding=1)
        self.own = nn.Parameter(torch.ones(1))
        self.looped = looped

    def forward(self, x):
        if self.looped:
            return torch.stack([self.inner(step) for step in x]) * self.own
        return self.inner(x.flatten(0, 1)).unflatten(0, x.shape[:2]) * self.own


class Tokens(nn.Module):
    """A linear layer for each pixel, and one that mixes samples."""

    def __init__(self):
        super().__init__()
        self.each = nn.Linear(2, 2)
        self.mixed = nn.Linear(2, 2)

    def forward(self, x):
        tokens = self.each(x.flatten(3).transpose(3, 2))  # [T, B, N, 2]
        return tokens + self.mixed(tokens[:, :1].flatten(0, 1)[:1])


@pytest.mark.parametrize("looped", [False, True])
def test_third_party_modules_get_values_and_are_named_as_uncounted(looped):
    coding = create_coding("temporal", steps=2)
    body = blocks.sequence(
        stem=Stem(coding, lambda: nn.Conv2d(1, 2, 3), mean=[0.0], std=[1.0]),
        third_party=ThirdParty(looped),
        flatten=nn.Flatten(2),
        readout=Readout(2 * 9, 3, steps=2, scaled=False),
    )
    network = SpikingNetwork(coding, body).eval()
    with torch.no_grad(), Operations(network) as operations:
        network(images(3, 1, 5, 5))
    found = operations.counts()
    inner = {layer.name: layer for layer in found.layers}["third_party.inner"]
    assert (inner.operation, inner.spikes) == ("mac", False)
    dense = brute_force.operations(torch.ones(2, 3, 3), body.third_party.inner, dense=True)
    assert inner.dense.tolist() == [3 * dense, 3 * dense]
    assert found.uncounted == ["third_party"]  # because of its own parameter


def test_tokens_are_counted_and_layers_that_mix_samples_are_named():
    coding = create_coding("temporal", steps=2)
    body = blocks.sequence(
        stem=Stem(coding, lambda: nn.Conv2d(1, 2, 3), mean=[0.0], std=[1.0]),
        tokens=Tokens(),
        flatten=nn.Flatten(2),
        readout=Readout(2 * 9, 3, steps=2, scaled=False),
    )
    network = SpikingNetwork(coding, body).eval()
    with torch.no_grad(), Operations(network) as operations:
        network(images(3, 1, 5, 5))
    found = operations.counts()
    layers = {layer.name: layer for layer in found.layers}
    assert layers["tokens.each"].dense.tolist() == [3 * 9 * 4] * 2
    assert found.uncounted == ["tokens.mixed"] and "tokens.mixed" not in layers


def test_a_layer_that_is_used_twice():
    coding = create_coding("temporal", steps=2)
    twice = OverTime(nn.Conv2d(2, 2, 3, padding=1))
    body = blocks.sequence(
        stem=Stem(coding, lambda: nn.Conv2d(1, 2, 3), mean=[0.0], std=[1.0]),
        spikes=SpikingLayer(None, FixedLeaky(2, 2)),
        first=twice,
        second=twice,
        flatten=nn.Flatten(2),
        readout=Readout(2 * 9, 3, steps=2, scaled=False),
    )
    network = SpikingNetwork(coding, body).eval()
    with torch.no_grad(), Operations(network) as operations:
        network(images(3, 1, 5, 5))
    (found,) = [layer for layer in operations.counts().layers if layer.name == "first"]
    dense = brute_force.operations(torch.ones(2, 3, 3), twice.layer, dense=True)
    assert found.dense.tolist() == [2 * 3 * dense] * 2
    assert not found.spikes  # the second input is values


@pytest.mark.slow
def test_only_the_first_layer_of_a_stem_gets_spikes():
    torch.manual_seed(4)
    model = create_model(
        "ms-resnet", in_shape=(1, 32, 32), classes=2, coding="hybrid", steps=3, depth=104,
        width=1, stem="imagenet",
    )  # fmt: skip
    model = lively(model).eval()
    graph = {info.name: info for info in LayerGraph.of(model.body).layers}
    assert [graph[f"stem.spikes.{i}"].spikes for i in range(3)] == [True, False, False]
    with torch.no_grad(), Operations(model) as operations:
        model(images(2, 1, 32, 32))
    layers = {layer.name: layer for layer in operations.counts().layers}
    for i in range(3):
        analog, spikes = layers[f"stem.analog.{i}"].dense, layers[f"stem.spikes.{i}"].dense
        assert analog[0] > 0 and analog[1:].tolist() == [0, 0]
        assert spikes.tolist() == [0, analog[0], analog[0]]


class RecurrentOfAnotherPackage(nn.Module):
    """Neurons of another package, with recurrent weights in a linear layer."""

    def __init__(self, features):
        super().__init__()
        self.recurrent = nn.Linear(features, features, bias=False)
        self.threshold = nn.Parameter(torch.ones(()))

    def forward(self, x):
        s, spikes = torch.zeros_like(x[0]), []
        for x_t in x:
            s = (x_t + self.recurrent(s) > self.threshold).to(x)
            spikes.append(s)
        return torch.stack(spikes)


def test_weights_inside_neurons_of_another_package_are_counted():
    coding = create_coding("temporal", steps=3)
    body = blocks.sequence(
        stem=Stem(
            coding, lambda: nn.Sequential(nn.Flatten(), nn.Linear(25, 4)), mean=[0.0], std=[1.0]
        ),
        spikes=SpikingLayer(None, RecurrentOfAnotherPackage(4)),
        readout=Readout(4, 3, steps=3, scaled=False),
    )
    network = SpikingNetwork(coding, body).eval()
    with torch.no_grad(), Operations(network) as operations:
        network(images(3, 1, 5, 5))
    found = operations.counts()
    layers = {layer.name: layer for layer in found.layers}
    recurrent = layers["spikes.neuron.recurrent"]
    assert recurrent.dense.tolist() == [3 * 16] * 3
    assert (recurrent.operation, recurrent.weights) == ("mac", 16)
    assert found.uncounted == []
