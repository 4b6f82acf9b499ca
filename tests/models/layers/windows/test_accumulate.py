"""Sums of windows: against NumPy, by step, their gradient, and what does not fit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asnn.core import ConfigError
from asnn.models.layers.windows.accumulate import Accumulate


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**31))
def test_a_window_is_a_difference_of_cumulative_sums(windows, length, seed):
    spikes = np.random.default_rng(seed).integers(0, 2, (windows * length, 2, 3, 2)).astype("f4")
    layer = Accumulate(steps=len(spikes), windows=windows)

    found = layer(torch.from_numpy(spikes)).numpy()

    ends = np.cumsum(spikes, 0)[length - 1 :: length]
    assert np.array_equal(found, np.diff(ends, axis=0, prepend=np.zeros_like(ends[:1])))


def test_it_has_no_leak_and_forgets_the_window_before():
    spikes = torch.zeros(6, 1, 1)
    spikes[0] = spikes[5] = 1  # as far from the ends of their windows as can be
    layer = Accumulate(steps=6, windows=2)

    assert layer(spikes).flatten().tolist() == [1, 1]
    spikes[5] = 0
    assert layer(spikes).flatten().tolist() == [1, 0]


def test_a_window_without_spikes_is_zero():
    assert Accumulate(steps=4, windows=2)(torch.zeros(4, 2, 3)).eq(0).all()


def test_its_gradient_is_that_of_the_window_at_each_of_its_steps():
    x = torch.rand(6, 2, 3, requires_grad=True)
    upstream = torch.rand(3, 2, 3)

    (found,) = torch.autograd.grad(Accumulate(steps=6, windows=3)(x), x, upstream)

    assert torch.equal(found, upstream.repeat_interleave(2, 0))


def test_as_many_windows_as_steps_change_nothing():
    x = torch.rand(3, 2, 4)
    assert torch.equal(Accumulate(steps=3, windows=3)(x), x)


def test_of_the_first_steps_it_sums_the_windows_that_end_within_them():
    x = torch.rand(6, 2, 3)
    layer = Accumulate(steps=6, windows=3)
    assert torch.equal(layer(x[:5]), layer(x)[:2])
    with pytest.raises(ConfigError, match="1 steps are less than a window of 2"):
        layer(x[:1])


def test_step_by_step_it_answers_at_the_end_of_each_window():
    x = torch.rand(6, 2, 3)
    layer = Accumulate(steps=6, windows=2)

    step = layer.stepper()
    found = [step(each) for each in x]

    assert [t for t, each in enumerate(found) if each is not None] == [2, 5]
    assert torch.allclose(torch.stack([found[2], found[5]]), layer(x))


@pytest.mark.parametrize("windows", [0, 5, 24, -3])
def test_windows_that_do_not_divide_the_steps_are_refused_with_those_that_do(windows):
    with pytest.raises(ConfigError, match=f"^{windows} windows do not divide 12 steps") as error:
        Accumulate(steps=12, windows=windows)
    assert "1, 2, 3, 4, 6, 12 windows" in error.value.remedy
