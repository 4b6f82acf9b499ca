"""Neurons that fire once, by the fused kernels against the reference."""

import pytest
import torch
from torch import nn

pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")

from tests.support.fused_layers import assert_close, inputs, layer_of, run_once

OPTIONS = [
    {},
    {"granularity": "channel", "learn_threshold": True},
    {"reset": "zero", "surrogate": "atan"},
    {"reset": "none", "learn_threshold": True},
    {"learn_reset_size": True, "granularity": "channel", "surrogate": "fast_sigmoid"},
]
POOLS = [None, nn.MaxPool2d(2)]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("pool", POOLS, ids=["plain", "pool"])
def test_spikes_of_the_same_normalised_input_are_equal_bit_for_bit(options, pool):
    layer = layer_of((13, 5, 6), steps=6, norm=None, pool=pool, once=True, **options)
    leaf = inputs(6, 3, (13, 5, 6))
    fused, *_ = run_once(layer, leaf, "fused", steps=6)
    reference, *_ = run_once(layer, leaf, "reference", steps=6)
    assert torch.equal(fused, reference)
    often = layer_of((13, 5, 6), steps=6, norm=None, pool=pool, **options)
    assert not torch.equal(run_once(often, leaf, "fused", steps=6)[0], fused)
    if pool is None:
        assert fused.sum(0).max() == 1
        assert 0.2 < fused.sum(0).mean() < 1


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(
    ("shape", "pool", "norm", "static"),
    [
        ((8, 6, 6), nn.MaxPool2d(2), "folded", False),
        ((9, 5, 7), nn.MaxPool2d(2), "split", False),
        ((11,), None, "per-step", True),
        ((5, 3, 3), nn.MaxPool2d((2, 1)), None, True),
    ],
    ids=lambda value: str(value) if not isinstance(value, nn.Module) else "pool",
)
def test_gradients_agree_with_the_reference_in_float64(options, shape, pool, norm, static):
    steps = 5
    layer = layer_of(shape, steps=steps, norm=norm, pool=pool, once=True, **options)
    leaf = inputs(steps, 6, shape, static=static)
    spikes, grads, _ = run_once(layer, leaf, "fused", steps=steps, static=static)
    expected_spikes, expected, _ = run_once(
        layer, leaf, "reference", steps=steps, static=static, dtype=torch.float64
    )
    assert torch.equal(spikes.double(), expected_spikes)
    assert_close(grads, expected)


def test_gradients_of_neurons_that_fire_often_would_differ():
    """The negative control of the test above."""
    layer = layer_of((9,), steps=5, norm=None)
    once = layer_of((9,), steps=5, norm=None, once=True)
    leaf = inputs(5, 6, (9,))
    _, often, _ = run_once(layer, leaf, "fused", steps=5)
    _, expected, _ = run_once(once, leaf, "reference", steps=5, dtype=torch.float64)
    with pytest.raises(AssertionError):
        assert_close(often, expected)


def test_no_gradient_reaches_a_step_after_the_first_spike():
    layer = layer_of((9,), steps=6, norm=None, once=True)
    leaf = inputs(6, 4, (9,))
    spikes, grads, _ = run_once(layer, leaf, "fused", steps=6)
    fired_before = spikes.cumsum(0) - spikes
    of_input = grads["input"].view_as(spikes)
    assert fired_before.any()
    assert not of_input[fired_before > 0].any()
    assert of_input[fired_before == 0].all()


def test_spikes_are_counted_once():
    layer = layer_of((9, 4, 5), steps=4, pool=nn.MaxPool2d(2), once=True)
    counts, samples = [], []
    layer.spike_observers.append(lambda number, neurons: counts.append(number))
    x = inputs(4, 3, (9, 4, 5)).unflatten(0, (4, 3))
    layer(x)
    layer.count_observers.append(samples.append)
    layer(x)
    assert layer.used == "fused"
    assert counts[0].tolist() == samples[0].flatten(1).sum(1).tolist()
    assert 0 < counts[0].sum() <= 3 * 9 * 4 * 5
