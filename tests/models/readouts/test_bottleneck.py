"""Bottlenecks: what is decoded from a window of drawn spikes, and how much the spikes tell."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.coding.draws import drawing, sample_keys
from asnn.core import ConfigError
from asnn.measure.cost.operations import Operations
from asnn.models import create_model
from asnn.models.readouts import create_readout
from asnn.models.readouts.bottleneck import log_probability
from asnn.models.readouts.window import Decoder, WindowSum
from asnn.models.stepwise import stepper

STEPS, BATCH, FEATURES, M, K = 5, 6, 7, 4, 3
READS = ["time", "rate"]
KEYS = sample_keys(torch.arange(BATCH), 0)


def features(seed=0):
    g = torch.Generator().manual_seed(seed)
    return (torch.rand(STEPS, BATCH, FEATURES, generator=g) < 0.5).float()


def readout(**options):
    torch.manual_seed(0)
    return create_readout(
        "bottleneck", FEATURES, K, steps=STEPS, scaled=True, neurons=M, **options
    )  # fmt: skip


def spikes_and_odds(layer, x):
    """The drawn spikes of a forward pass and the log-odds of each."""
    seen = []
    handle = layer.neuron.register_forward_hook(lambda _, inputs, s: seen.append((inputs[0], s)))
    with torch.no_grad(), drawing(KEYS):
        layer(x)
        handle.remove()
        uniform = layer.neuron.uniforms(seen[0][0])
        return seen[0][1], layer.neuron.log_odds(*seen[0]), uniform


@torch.no_grad()
@pytest.mark.parametrize("hidden", [[], [8, 5]], ids=str)
@pytest.mark.parametrize("reads", READS)
def test_the_window_is_decoded_at_once(reads, hidden):
    """A linear layer on the vector [T·M], or on the rates [M], with later steps silent."""
    layer, x = readout(decoder=reads, hidden=hidden), features()
    spikes, _, _ = spikes_and_odds(layer, x)
    with drawing(KEYS):
        outputs, answer = layer(x), layer.mean(x)
    weight, bias = layer.window.weight.double(), layer.window.bias.double()
    for t in range(STEPS):
        window = spikes.double().clone()
        window[t + 1 :] = 0
        rows = window.transpose(0, 1).reshape(BATCH, -1)
        if reads == "rate":
            rows = window.mean(0)
        y = rows @ weight.T + bias
        for linear in layer.decoder.layers:
            y = y.clamp(min=0) @ linear.weight.double().T + linear.bias.double()
        torch.testing.assert_close(outputs[t].double(), y, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(answer, outputs[-1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(layer.answer(outputs), layer.decide(outputs).scores)
    assert 0.05 < spikes.mean() < 0.95


@torch.no_grad()
@pytest.mark.parametrize("hidden", [[], [8]], ids=str)
@pytest.mark.parametrize("reads", READS)
def test_moved_spikes(reads, hidden):
    """With their counts kept, the rate decoder changes in no digit, the other one does."""
    torch.manual_seed(0)
    window, decoder = WindowSum(M, 8, steps=STEPS, reads=reads), Decoder([8, *hidden, K])
    spikes = (torch.rand(STEPS, BATCH, M) < 0.4).float()
    order = torch.rand(STEPS, BATCH, M).argsort(0)
    moved = spikes.gather(0, order)
    assert (moved != spikes).any() and torch.equal(moved.sum(0), spikes.sum(0))
    for of in (window.at_end, lambda s: window(s)[-1]):
        same = torch.equal(decoder(of(spikes)), decoder(of(moved)))
        assert same == (reads == "rate")


@torch.no_grad()
@pytest.mark.parametrize("reads", READS)
def test_one_step_after_another(reads):
    layer, x = readout(decoder=reads, hidden=[6]), features()
    with drawing(KEYS):
        expected = layer(x)
        step = stepper(layer)
        found = torch.stack([step(x_t) for x_t in x])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"kappa": 3.0, "leak": 0.9}], ids=str)
def test_spikes_are_drawn_with_the_probability_that_is_said(options):
    layer = readout(**options)
    spikes, odds, uniform = spikes_and_odds(layer, features())
    np.testing.assert_array_equal(spikes.numpy(), (uniform < odds.sigmoid()).float().numpy())
    by_hand = torch.where(spikes > 0, odds.sigmoid(), 1 - odds.sigmoid()).log().sum(2)
    torch.testing.assert_close(log_probability(spikes, odds), by_hand, rtol=1e-4, atol=1e-5)
    # Own spikes feed back: with others before it, a spike has another probability.
    x = layer.linear(features())
    silent = layer.neuron.log_odds(x, torch.zeros_like(spikes))
    torch.testing.assert_close(silent[0], odds[0])
    assert (silent[1:] - odds[1:]).abs().max() > 0.1


def test_the_divergence_is_that_of_samples():
    """E[log p(s) / r(s)] over 100,000 draws, within 1 %."""
    layer = readout(rate=0.3)
    odds = torch.tensor([[[-3.0, -0.5, 0.4, 2.0]], [[0.1, 0.2, -1.0, 5.0]]])
    exact = layer.divergence(odds)
    p = odds.double().sigmoid().numpy()
    s = np.random.default_rng(0).random((100_000, *p.shape)) < p
    ratio = np.where(s, np.log(p / 0.3), np.log((1 - p) / 0.7)).sum(-1).mean(0)
    np.testing.assert_allclose(exact.numpy(), ratio, rtol=0.01)
    other = readout(rate=0.6).divergence(odds)
    assert (other - exact).abs().min() > 0.05  # the control: of another rate


@settings(deadline=None, max_examples=20)
@given(st.floats(-30, 30), st.floats(0.01, 0.99))
def test_the_divergence_is_positive_and_0_at_its_rate(odds, rate):
    layer = readout(rate=rate)
    at_rate = math.log(rate / (1 - rate))
    nats = layer.divergence(torch.tensor([[[odds]], [[at_rate]]]).double())
    assert float(nats[0]) >= -1e-12 and abs(float(nats[1])) < 1e-12


@pytest.mark.parametrize("reads", READS)
def test_operations_are_those_of_the_answer(reads):
    """Additions for each spike of the window; the rest of the decoder once, behind the last."""
    torch.manual_seed(0)
    model = create_model(
        "mlp", in_shape=(1, 3, 3), classes=K, features=[FEATURES], steps=STEPS,
        readout="bottleneck",
        readout_options={"neurons": M, "hidden": [6, 5], "decoder": reads},
    ).eval()  # fmt: skip
    seen = []
    model.readout.spikes.register_forward_hook(lambda _, __, s: seen.append(s))
    values = []
    for layer in model.readout.decoder.layers:
        layer.register_forward_hook(lambda _, x, __: values.append(x[0]))
    with Operations(model) as operations, torch.no_grad():
        model(torch.rand(2, 1, 3, 3))
    counts = {each.name: each for each in operations.counts().layers}
    of_window, of_decoder = counts["readout.window"], counts["readout.decoder"]
    assert of_window.operation == "ac" and of_decoder.operation == "mac"
    assert of_window.effective.tolist() == (6 * seen[0].sum((1, 2))).tolist()
    assert of_decoder.dense.tolist() == [0] * (STEPS - 1) + [2 * (6 * 5 + 5 * K)]
    first, second = (int(each[-1].ne(0).sum()) for each in values[:2])
    assert of_decoder.effective.sum() == 5 * first + K * second
    assert not operations.counts().uncounted


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"neurons": 0}, "a bottleneck of 0 neurons with hidden layers"),
        ({"hidden": [4, 0]}, "sizes are positive"),
        ({"rate": 1.0}, "the rate of the bottleneck is 1.0: it is a probability"),
        ({"decoder": "latency"}, "unknown decoder 'latency': choose from time, rate"),
        ({"kappa": 0.0}, "kappa is the steepness of the noise"),
    ],
)
def test_refusals(options, text):
    with pytest.raises(ConfigError) as caught:
        create_readout(
            "bottleneck", FEATURES, K, steps=STEPS, scaled=True, **{"neurons": M, **options}
        )  # fmt: skip
    assert text in str(caught.value)
