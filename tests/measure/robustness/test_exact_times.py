"""Corruptions of exact times against their formulas; those of time steps are not for them."""

import math

import pytest
import torch

from asnn.core import ConfigError
from asnn.measure.robustness.corruptions import check_corruption, corrupt, fitting
from asnn.measure.robustness.sample_random import SampleRandom
from asnn.measure.robustness.times import time_drop, time_jitter, time_shuffle
from asnn.models import create_model

INF = float("inf")
OF_TIMES = ["time-drop", "time-jitter", "time-shuffle"]
OF_IMAGES = ["gaussian-noise", "salt-and-pepper", "blur", "contrast"]


@pytest.fixture(scope="module")
def model():
    return create_model(
        "timing-mlp", in_shape=(1, 4, 4), classes=3, features=[5], coding="times", steps=1,
        neuron="rel-psp", readout="earliest",
    ).eval()  # fmt: skip


def test_images_and_weights_are_corrupted(model):
    assert fitting(model) == [*OF_IMAGES, *OF_TIMES, "quantize"]
    x = torch.rand(6, 1, 4, 4)
    for name, severity in (
        ("gaussian-noise", 0.3),
        ("quantize", 3),
        ("time-drop", 0.5),
        ("time-jitter", 0.3),
        ("time-shuffle", 1.0),
    ):
        with torch.no_grad():
            assert not torch.equal(corrupt(model, name, severity)(x), model(x))


@pytest.mark.parametrize("name", ["spike-drop", "spike-jitter", "dead-neurons"])
def test_steps_of_spikes_are_not(model, name):
    with pytest.raises(
        ConfigError, match="the network has exact times, and no time steps"
    ) as error:
        check_corruption(model, name, 0.5)
    assert "quantize" in error.value.why


def times(samples=40, addresses=60, most=3, seed=0):
    """Ascending times of up to `most` spikes an address, all different, `[B, 1, N, S]`."""
    generator = torch.Generator().manual_seed(seed)
    found = torch.rand(samples, 1, addresses, most, generator=generator, dtype=torch.float64)
    silent = torch.rand(found.shape, generator=generator) < 0.4
    return found.masked_fill(silent, INF).sort(-1).values


def random(x, key="a 0"):
    return SampleRandom(x, key)


@pytest.mark.parametrize("p", [0.2, 1.0])
def test_spikes_trade_their_times(p):
    x = times()
    found = time_shuffle(x, p, random(x))
    assert torch.equal(found.isfinite(), x.isfinite())  # each address fires as often
    assert torch.equal(found, found.sort(-1).values)
    assert torch.equal(found.flatten(1).sort(1).values, x.flatten(1).sort(1).values)
    again = [time_shuffle(each[None], p, random(each[None])) for each in x[:3]]
    assert torch.equal(torch.cat(again), found[:3])  # whatever the batch
    assert not torch.equal(time_shuffle(x, p, random(x, "a 1")), found)


@pytest.mark.parametrize("p", [0.2, 1.0])
def test_as_many_trade_as_the_severity_says(p):
    x = times(most=1)  # one spike an address: every trade shows
    moved = ((time_shuffle(x, p, random(x)) != x) & x.isfinite()).double().flatten(1)
    spikes = x.isfinite().flatten(1).sum(1)
    # Of n spikes that trade, n - 1 change their time on average.
    expected = (p * spikes - 1).mean().item()
    assert moved.sum(1).mean().item() == pytest.approx(expected, abs=1.5)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_spikes_are_dropped(p):
    x = times()
    found = time_drop(x, p, random(x))
    assert torch.equal(found, found.sort(-1).values)
    kept = torch.isin(found[found.isfinite()], x[x.isfinite()])
    assert kept.all()
    n = int(x.isfinite().sum())
    lost = 1 - found.isfinite().sum().item() / n
    assert lost == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / n))
    assert time_drop(x, 1.0, random(x)).isinf().all()


def test_times_move_by_shares_of_the_window():
    x = 5 + times(most=1)  # far from 0, where times are cut off
    moved = (time_jitter(x, 0.2, random(x), window=2.0) - x)[x.isfinite()]
    n = len(moved)
    assert moved.mean().abs() < 5 * 0.4 / math.sqrt(n)
    assert moved.std().item() == pytest.approx(0.4, rel=5 / math.sqrt(2 * n))
    assert time_jitter(x - 5, 3.0, random(x), window=2.0).amin() == 0


def test_the_window_is_that_of_the_code():
    def moved(window):
        network = create_model(
            "timing-mlp", in_shape=(1, 4, 4), classes=3, features=[5], coding="times", steps=1,
            neuron="rel-psp", readout="earliest", coding_options={"window": window},
        )  # fmt: skip
        x = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0)) / 2
        clean = network.coding.encode(x)
        return corrupt(network, "time-jitter", 0.01).coding.encode(x) - clean

    torch.testing.assert_close(moved(4.0), 4 * moved(1.0))


def test_networks_of_steps_have_no_exact_times():
    network = create_model("mlp", in_shape=(1, 4, 4), classes=3, features=[5], coding="temporal")
    with pytest.raises(ConfigError, match="the network has time steps, and no exact times"):
        check_corruption(network, "time-shuffle", 1.0)
