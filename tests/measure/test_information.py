"""The divergence of a bottleneck in an evaluation, against its formula for each spike."""

import pytest
import torch

from asnn.coding.draws import drawing, sample_keys
from asnn.datasets.base import Split
from asnn.measure import evaluate
from asnn.measure.information import Divergence
from asnn.models import create_model
from asnn.models.noise import without_noise

T, N = 4, 10


def network(readout="bottleneck"):
    torch.manual_seed(0)
    options = {"neurons": 5, "rate": 0.2} if readout == "bottleneck" else {}
    return create_model(
        "mlp", in_shape=(1, 3, 3), classes=2, features=[6], steps=T, readout=readout,
        readout_options=options,
    ).eval()  # fmt: skip


def samples():
    g = torch.Generator().manual_seed(0)
    return Split(torch.rand(N, 1, 3, 3, generator=g), torch.arange(N) % 2)


def test_an_evaluation_adds_up_all_batches():
    model, split = network(), samples()
    found = evaluate(model, split, classes=2, full_scale=1.0, batch_size=3)
    seen = []
    model.readout.neuron.register_forward_hook(lambda _, inputs, s: seen.append((inputs[0], s)))
    with drawing(sample_keys(torch.arange(N), 0)), torch.no_grad():
        model(split.inputs)
    x, spikes = seen[0]
    p = model.readout.neuron.log_odds(x, spikes).double().sigmoid()
    nats = p * (p / 0.2).log() + (1 - p) * ((1 - p) / 0.8).log()
    expected = float(nats.sum((0, 2)).mean())
    assert found.divergence == {"readout.spikes": pytest.approx(expected, rel=1e-4)}
    assert found.as_dict()["divergence"] == found.divergence


def test_nothing_is_said_without_draws():
    for model in (network("mean"), without_noise(network())):
        assert evaluate(model, samples(), classes=2, full_scale=1.0).divergence == {}
    with Divergence(network()) as divergence:
        pass
    assert divergence.by_layer() == {}
    divergence.all_reduce(lambda t: 2 * t)  # a process without samples
    assert divergence.by_layer() == {}
