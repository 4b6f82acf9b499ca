"""The burst code against its two formulas, in exact fractions, value by value."""

from fractions import Fraction
from math import ceil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asnn.coding import create_coding
from asnn.core import ConfigError


def burst(x: Fraction, steps: int, most: int, shortest: int, longest: int) -> list[int]:
    """Return the steps of the spikes of one value, without those after the last step."""
    count = ceil(most * x)
    interval = ceil(longest - (longest - shortest) * x) if count > 1 else longest
    return [t for t in range(0, count * interval, interval) if t < steps]


@pytest.mark.parametrize(
    ("steps", "most", "shortest", "longest"),
    [(8, 5, 1, 1), (16, 5, 2, 9), (10, 4, 2, 6), (3, 1, 1, 2), (5, 3, 4, 9)],
)
def test_spikes_are_where_the_formulas_say(steps, most, shortest, longest):
    options = {"most": most, "shortest": shortest, "longest": longest}
    values = [Fraction(k, 64) for k in range(65)]  # exact in float32, and so are all products
    code = create_coding("burst", steps=steps, **options).encode(torch.arange(65) / 64)
    found = [spikes.nonzero().flatten().tolist() for spikes in code.T]
    assert found == [burst(x, steps, **options) for x in values]


def test_brighter_values_fire_more_often_and_closer_together():
    code = create_coding("burst", steps=16).encode(torch.tensor([1.0, 0.5, 0.2, 0.0]))
    times = [spikes.nonzero().flatten().tolist() for spikes in code.T]
    assert times == [[0, 1, 2, 3, 4], [0, 6, 12], [0], []]


@given(steps=st.integers(1, 40), most=st.integers(1, 8), shortest=st.integers(1, 4))
def test_by_default_no_spike_is_lost_and_a_longer_interval_would_lose_one(steps, most, shortest):
    if most > steps:
        most = steps
    coding = create_coding("burst", steps=steps, most=most, shortest=shortest)
    if (most - 1) * shortest >= steps:  # the brightest value alone is too long
        assert coding.longest == shortest
        return
    # Just above n - 1 spikes the interval is the longest that n spikes can have.
    x = torch.cat([torch.arange(most) / most + 1e-6, torch.ones(1)]).double()
    assert torch.equal(coding.encode(x).sum(0), (most * x).ceil())
    if coding.longest < steps and most > 1:
        longer = create_coding(
            "burst", steps=steps, most=most, shortest=shortest, longest=coding.longest + 1
        )
        assert longer.encode(x).sum() < (most * x).ceil().sum()


def test_the_decoder_uses_spikes_and_interval():
    x = torch.rand(2_000, generator=torch.Generator().manual_seed(3))
    coding = create_coding("burst", steps=16)
    error = (coding.decode(coding.encode(x)) - x).abs()
    assert error.max() <= 1 / (2 * 5) + 1e-6
    # The negative control: the number of spikes alone tells less.
    by_count = (coding.encode(x).sum(0) - 0.5) / 5
    assert error.mean() < 0.65 * (by_count - x).abs().mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"most": 0}, "most must be from 1 to the 4 steps, not 0"),
        ({"most": 5}, "most must be from 1 to the 4 steps, not 5"),
        ({"shortest": 0}, "shortest must be at least 1 step, not 0"),
        ({"shortest": 3, "longest": 2}, "longest must be at least shortest, which is 3, not 2"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        create_coding("burst", steps=4, **options)
