"""Fan-out: each count equals a loop over every input and every weight that it meets."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from asnn.measure.cost.fan_out import FanOut
from asnn.models.layer import SPIKES, VALUES
from tests.support import brute_force
from tests.support.sparse_layers import sparse, with_zeros


def count(layer, x):
    spikes = bool(((x == 0) | (x == 1)).all())
    return FanOut(layer, tuple(x.shape[1:])).count(x, SPIKES if spikes else VALUES)


geometries = st.fixed_dictionaries(
    {
        "kernel_size": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "stride": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "padding": st.tuples(st.integers(0, 2), st.integers(0, 2)),
        "dilation": st.tuples(st.integers(1, 2), st.integers(1, 2)),
        "groups": st.sampled_from([1, 2, 4]),
    }
)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(geometries, st.integers(5, 7), st.integers(5, 8), st.integers(0, 99), st.booleans())
def test_convolution(geometry, height, width, seed, spikes):
    torch.manual_seed(seed)
    layer = with_zeros(nn.Conv2d(4, 4, **geometry), seed)
    x = sparse(2, 4, height, width, seed=seed)
    if not spikes:
        x = x * torch.randn(x.shape)
    found = count(layer, x)
    assert found[0].tolist() == [brute_force.operations(one, layer) for one in x]
    assert found[1].tolist() == x.ne(0).flatten(1).sum(1).tolist()
    dense = FanOut(layer, (4, height, width)).dense
    assert dense == brute_force.operations(x[0], layer, dense=True)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 99))
def test_linear(inputs, outputs, seed):
    layer = with_zeros(nn.Linear(inputs, outputs), seed)
    x = sparse(3, inputs, seed=seed)
    assert count(layer, x)[0].tolist() == [brute_force.operations(one, layer) for one in x]
    dense = FanOut(layer, (inputs,)).dense
    assert dense == brute_force.operations(x[0], layer, dense=True) == inputs * outputs


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 1), st.integers(0, 99))
def test_mean_pool(kernel, stride, padding, seed):
    layer = nn.AvgPool2d(kernel, stride, min(padding, kernel // 2))
    x = sparse(2, 3, 6, 7, seed=seed)
    assert count(layer, x)[0].tolist() == [brute_force.operations(one, layer) for one in x]
    dense = FanOut(layer, (3, 6, 7)).dense
    assert dense == brute_force.operations(x[0], layer, dense=True)


@pytest.mark.slow
def test_sums_beyond_float32_are_exact():
    # 400 x 99,999 operations a sample, an odd number that float32 cannot hold.
    layer = nn.Linear(401, 99_999, bias=False)
    nn.init.ones_(layer.weight)  # some of 4e7 random weights would be 0
    x = torch.ones(2, 401)
    x[0, 0] = 0
    assert count(layer, x)[0].tolist() == [400 * 99_999, 401 * 99_999]
    assert float(torch.tensor(401 * 99_999.0, dtype=torch.float32)) != 401 * 99_999  # the control


def test_autocast_does_not_change_counts():
    layer = nn.Conv2d(3, 5, 3)
    x = sparse(4, 3, 20, 20)
    with torch.autocast("cpu", torch.bfloat16):
        found = count(layer, x)
    assert found[0].tolist() == [brute_force.operations(one, layer) for one in x]
