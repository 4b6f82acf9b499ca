"""Corruptions of recurrent networks: recurrent weights in few bits, and dead neurons."""

import numpy as np
import pytest
import torch
from torch.nn.functional import linear

from asnn.exporters import source_of
from asnn.exporters.graph.quantisation import with_rounded_weights
from asnn.measure.robustness.corruptions import corrupt
from tests.support.recurrent_networks import recurrent_network
from tests.support.samples import batch_of


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("rsnn", {"spikes1": {"recurrent": "neuron.weight"}}),
        ("lstm", {"lstm1": {"weight": "weight_ih_l0", "recurrent": "weight_hh_l0"}}),
    ],
)
def test_weights_of_8_bits_are_those_of_an_int8_file(name, weights):
    model, _ = recurrent_network(name, "hybrid")
    found = corrupt(model, "quantize", 8).state_dict()
    rounded = with_rounded_weights(source_of(model).graph, "int8")
    nodes = {node.name: node for node in rounded.nodes}
    for layer, fields in weights.items():
        for field, key in fields.items():
            value = found[f"body.{layer}.{key}"]
            np.testing.assert_array_equal(value.numpy(), getattr(nodes[layer], field))
            assert not torch.equal(value, model.state_dict()[f"body.{layer}.{key}"])


def test_a_dead_neuron_sends_nothing_to_the_next_step():
    model, spec = recurrent_network("rsnn", "hybrid")
    corrupted = corrupt(model, "dead-neurons", 0.3)
    seen = {}
    dead = corrupted.body.spikes1.neuron
    dead.register_forward_hook(lambda m, x, y: seen.update(x=x[0], s=y))
    x = batch_of(spec, 32)
    with torch.no_grad():
        corrupted(x)
    alive = dead.alive(torch.Size([9]))
    assert alive.sum() == 6  # 30 % of 9 are 3
    neuron, weight = dead.neuron.neuron, model.body.spikes1.neuron.weight.detach()
    v, s = torch.zeros(32, 9), torch.zeros(32, 9)
    for t, x_t in enumerate(seen["x"]):
        current = x_t + linear(s, weight) if t else x_t  # s of live neurons alone
        v = neuron.leak[t] * v + neuron.gain[t] * current
        fires = (v > 1).float()
        v = v - fires
        s = fires * alive
        assert torch.equal(seen["s"][t], s), t
    assert seen["s"].any()
    # Negative control: with the weights of the live network the spikes are others.
    with torch.no_grad():
        dead.neuron.weight.copy_(weight)
        before = seen["s"]
        corrupted(x)
    assert not torch.equal(seen["s"], before)
