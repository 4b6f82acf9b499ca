"""Layers that answer for themselves: when an answer counts, and what decays."""

import pytest
import torch
from torch import nn

from asnn.core.errors import ConfigError
from asnn.exporters.graph.network import lower_network
from asnn.measure import Operations
from asnn.measure.cost.energy import why_unknown
from asnn.models import create_model
from asnn.models.layer import VALUES, Layer, answers, decaying_parameters, synaptic_weights
from asnn.models.layers.lstm import Lstm
from asnn.models.layers.norm import FoldedNorm, TimeNorm
from asnn.models.layers.residual import Residual
from asnn.models.layers.time import OverTime
from asnn.models.neurons import AdaptiveLeaky
from tests.support.sparse_layers import lively


class Doubled(Layer):
    """y = 2 x, without an answer of its own."""

    def forward(self, x):
        return 2 * x


class Answering(Doubled):
    """The same, with answers."""

    def lower(self, graph, name):
        factor = torch.full((graph.steps, 1), 2.0)
        graph.add("ChannelScale", name, factor=factor, offset=torch.zeros_like(factor))

    def list_operations(self, found, name, x):
        found.add(name, "double", self, x, operation="mac")
        return VALUES

    def count_operations(self, counter, x, y):
        by_sample = x.flatten(2).ne(0).sum(2)
        counter.add(by_sample, by_sample, dense=x.numel(), inputs=x.numel())


class Tripled(Answering):
    """Its answers are those of another `forward`."""

    def forward(self, x):
        return 3 * x


class Named(Answering):
    """The same `forward`, under another name."""


def with_layer(layer):
    torch.manual_seed(1)
    model = create_model("mlp", in_shape=(1, 2, 3), classes=2, steps=3, features=[5])
    model.body = nn.Sequential(*list(model.body)[:2], layer, *list(model.body)[2:])
    return lively(model).eval()


@pytest.mark.parametrize(
    ("layer", "answered"),
    [(Answering, True), (Named, True), (Doubled, False), (Tripled, False)],
)
def test_an_answer_is_of_one_forward(layer, answered):
    part = layer()
    assert answers(part, "lower") == answers(part, "list_operations") == answered
    model = with_layer(part)
    with torch.no_grad(), Operations(model) as operations:
        model(torch.rand(4, 1, 2, 3))
    if answered:
        graph = lower_network(model)
        assert [type(node).__name__ for node in graph.nodes].count("ChannelScale") == 1
        found = {layer.kind: layer for layer in operations.counts().layers}["double"]
        assert found.dense.tolist() == [4 * 5] * 3 and 0 < found.effective.sum() < 4 * 15
    else:
        with pytest.raises(ConfigError, match="cannot be exported"):
            lower_network(model)


def test_a_layer_with_parameters_and_without_an_answer_leaves_the_energy_unknown():
    layer = Tripled()
    layer.factor = nn.Parameter(torch.ones(()))
    model = with_layer(layer)
    with torch.no_grad(), Operations(model) as operations:
        model(torch.rand(4, 1, 2, 3))
    assert "2" in str(why_unknown(operations.counts()))


def test_layers_of_torch_and_plain_modules_have_no_answers():
    for part in (nn.Linear(1, 1), nn.Sequential(), nn.LSTM(1, 1), nn.Identity()):
        assert not answers(part, "lower") and not answers(part, "list_operations")
    for part in (Lstm(1, 1), OverTime(nn.Identity()), Residual(nn.Sequential())):
        assert answers(part, "lower") and answers(part, "list_operations")
    assert answers(AdaptiveLeaky(2), "neuron_fields")


def test_a_norm_answers_by_its_segments_whatever_its_forward():
    class Own(TimeNorm):
        def forward(self, x):
            return x

    assert answers(Own(), "lower") and answers(FoldedNorm(nn.BatchNorm1d(2)), "lower")


def test_a_method_decides_what_decays_for_all_modules_in_it():
    class Part(nn.Module):
        def __init__(self):
            super().__init__()
            self.matrix = nn.Parameter(torch.zeros(2, 2))
            self.inner = nn.Linear(2, 2)
            self.rate = nn.Parameter(torch.zeros(2))

    part = Part()
    ids = {id(p) for p in decaying_parameters(part)}
    assert ids == {id(part.matrix), id(part.inner.weight)}
    part.decaying_parameters = lambda: [part.rate]
    assert [id(p) for p in decaying_parameters(nn.Sequential(part))] == [id(part.rate)]


def test_weights_of_a_module_itself():
    assert [tuple(w.shape) for w in synaptic_weights(Lstm(3, 2))] == [(8, 3), (8, 2)]
    assert synaptic_weights(nn.Sequential(nn.Linear(2, 2))) == []
