"""Corruptions of series against their formulas, and their random numbers."""

import math

import pytest
import torch

from asnn.coding.samples import SampleSpec
from asnn.core import ConfigError
from asnn.measure.robustness.corruptions import corrupt
from asnn.measure.robustness.sample_random import SampleRandom
from asnn.measure.robustness.series import series_drop, series_noise, series_shuffle
from asnn.models import create_model
from asnn.models.network import SpikingNetwork

STD = [0.5, 2.0, 8.0]


def series(count=40, steps=50, shape=(3,), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, steps, *shape, generator=generator)


def random(x, key="a 0"):
    return SampleRandom(x, key)


def network(binary=False, **options):
    sample = SampleSpec("series", (3,), steps=5, binary=binary)
    arguments = {"coding": "given", "features": [4], "std": STD, "mean": [0.0] * 3, **options}
    return create_model("mlp", in_shape=(3,), classes=2, sample=sample, steps=5, **arguments).eval()


@pytest.mark.parametrize("shape", [(3,), (3, 2, 4)])
def test_noise_has_the_deviation_of_each_feature(shape):
    x = series(shape=shape)
    noise = series_noise(x, 0.5, random(x), torch.tensor(STD)) - x
    for feature, deviation in enumerate(STD):
        own = noise[:, :, feature]
        n = own.numel()
        assert own.mean().abs() < 5 * 0.5 * deviation / math.sqrt(n)
        assert own.std().item() == pytest.approx(0.5 * deviation, rel=5 / math.sqrt(2 * n))
        assert own.std().item() != pytest.approx(0.6 * deviation, rel=5 / math.sqrt(2 * n))


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4)])
@pytest.mark.parametrize("p", [0.2, 1.0])
def test_steps_trade_places(p, shape):
    steps = torch.arange(50.0).view(-1, *[1] * len(shape)).expand(50, *shape)
    x = steps + series(shape=shape) / 2  # the step is its whole part
    found = series_shuffle(x, p, random(x))
    order = found.flatten(2)[:, :, 0].floor().long()
    assert torch.equal(order.sort(1).values, torch.arange(50).expand(40, 50))
    assert torch.equal(found, torch.stack([each[i] for each, i in zip(x, order, strict=True)]))
    # Of n steps that trade, n - 1 change their place on average.
    expected = 50 * p - 1
    moved = (order != torch.arange(50)).sum(1).double()
    assert moved.mean().item() == pytest.approx(expected, abs=5 * moved.std().item() / 40**0.5)
    assert not torch.equal(series_shuffle(x, p, random(x, "a 1")), found)


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4)])
@pytest.mark.parametrize("p", [0.05, 0.5, 1.0])
def test_whole_steps_are_dropped_and_others_are_kept(p, shape):
    x = 0.1 + series(shape=shape)
    found = series_drop(x, p, random(x))
    lost = (found == 0).flatten(2)
    assert torch.equal(lost.all(2), lost.any(2))
    assert torch.equal(found.flatten(2)[~lost], x.flatten(2)[~lost])
    steps = lost.all(2).double()
    n = steps.numel()
    assert steps.mean().item() == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / n))
    more = series_drop(x, min(1.0, 2 * p), random(x))
    assert (more[found == 0] == 0).all()


def test_the_network_gives_the_deviations():
    model = network()
    x = series(4, 5)
    code = corrupt(model, "series-noise", 0.5, seed=3).coding.encode(x)
    expected = series_noise(x, 0.5, random(x, "series-noise 3"), torch.tensor(STD))
    assert torch.equal(code, expected.transpose(0, 1))
    one = series_noise(x, 0.5, random(x, "series-noise 3"), torch.ones(3))
    assert not torch.equal(code, one.transpose(0, 1))


def test_noise_needs_the_deviations():
    model = network()
    by_hand = SpikingNetwork(model.coding, model.body).eval()
    with pytest.raises(ConfigError, match="the deviation of the series is not known") as caught:
        corrupt(by_hand, "series-noise", 0.5)
    assert "create_model" in caught.value.remedy
    corrupt(by_hand, "series-drop", 0.5)


@pytest.mark.parametrize("name", ["series-noise", "series-drop", "series-shuffle"])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_series_is_corrupted_alike_in_every_batch(name, size):
    x = series(70, 5)
    encode = corrupt(network(), name, 0.5).coding.encode
    parts = [encode(part) for part in x.split(size)]
    assert torch.equal(torch.cat(parts, 1), encode(x))
    assert not torch.equal(encode(x), network().coding.encode(x))


def test_steps_of_spikes_stay_spikes():
    model = network(binary=True)
    x = (series(6, 5) < 0.5).float()
    code = corrupt(model, "series-drop", 0.5).coding.encode(x)
    assert set(code.unique().tolist()) == {0, 1}
    with pytest.raises(ConfigError, match="series-noise corrupts series of values, the samples"):
        corrupt(model, "series-noise", 0.5)
