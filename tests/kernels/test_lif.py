"""LIF neurons, whose reset has no gradient, by the fused kernels against the reference."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")

from asnn.models.neurons.lif import Lif
from tests.support.fused_layers import assert_close, inputs, layer_of, run_once

CASES = [
    ((13, 5, 6), None, None, "channel"),
    ((35, 4, 4), "folded", nn.MaxPool2d(2), "channel"),
    ((9, 5, 7), "split", nn.MaxPool2d(2), "layer"),
    ((21,), "per-step", None, "channel"),
]
IDS = ["plain", "pool", "layer", "flat"]


def compared(shape, norm, pool, granularity, *, steps=5, batch=6, static=False):
    """Return spikes and gradients of the kernels, of the reference in float64, and in float32."""
    layer = layer_of(shape, steps=steps, norm=norm, pool=pool, neuron=Lif, granularity=granularity)
    leaf = 4 * inputs(steps, batch, shape, static=static).detach()  # so that many fire
    runs = (("fused", torch.float32), ("reference", torch.float64), ("reference", torch.float32))
    return [
        run_once(layer, leaf, kernels, steps=steps, static=static, dtype=dtype)[:2]
        for kernels, dtype in runs
    ]


@pytest.mark.parametrize("granularity", ["channel", "layer"])
@pytest.mark.parametrize("pool", [None, nn.MaxPool2d(2)], ids=["plain", "pool"])
def test_spikes_of_the_same_input_are_equal_bit_for_bit(pool, granularity):
    layer = layer_of((21, 5, 6), steps=6, norm=None, pool=pool, neuron=Lif, granularity=granularity)
    leaf = 4 * inputs(6, 3, (21, 5, 6)).detach()  # so that many fire
    fused, *_ = run_once(layer, leaf, "fused", steps=6)
    reference, *_ = run_once(layer, leaf, "reference", steps=6)
    assert torch.equal(fused, reference)
    assert 0.05 < float(fused.mean()) < 0.95


@pytest.mark.parametrize("static", [False, True], ids=["moving", "static"])
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_gradients_agree_with_the_reference_in_float64(case, static):
    (spikes, grads), (expected_spikes, expected), _ = compared(*case, static=static)
    assert torch.equal(spikes.double(), expected_spikes)
    assert_close(grads, expected, 1e-5)


@settings(deadline=None, max_examples=25)
@given(
    steps=st.integers(1, 5),
    batch=st.integers(1, 4),
    shape=st.tuples(st.integers(1, 20), st.integers(1, 4), st.integers(1, 4)),
)
def test_any_shape(steps, batch, shape):
    (spikes, grads), (expected_spikes, expected), (same, plain) = compared(
        shape, None, None, "channel", steps=steps, batch=batch
    )
    assert torch.equal(spikes, same)
    assert torch.equal(spikes.double(), expected_spikes)
    # The sums of a single channel may cancel: then the reference is not exact in float32 either.
    assert_close(grads, expected, 1e-5, reference_grads=plain)


@pytest.mark.parametrize(
    "wrong",
    [{"detached": False}, {"surrogate": "atan"}, {"reset": "none"}, {"alpha": 9.99}],
    ids=str,
)
def test_another_rule_would_show(monkeypatch, wrong):
    """The negative control of the tests above."""

    def changed(neuron, steps, right=Lif.kernel_equations):
        tensors, options = right(neuron, steps)
        return tensors, {**options, **wrong}

    monkeypatch.setattr(Lif, "kernel_equations", changed)
    (_, grads), (_, expected), _ = compared(*CASES[0])
    with pytest.raises(AssertionError):
        assert_close(grads, expected, 1e-5)
