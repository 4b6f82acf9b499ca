"""Numbers with SI prefixes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asnn.core.units import PREFIXES, joules, si, size

SIZES = {prefix: 10.0**exponent for exponent, prefix in PREFIXES.items()}


@given(st.floats(1e-11, 1e14))
def test_three_digits_are_within_half_a_digit_of_the_value(value):
    number, _, unit = si(value, "J").partition(" ")
    assert float(number) * SIZES[unit.removesuffix("J")] == pytest.approx(value, rel=0.0051)
    assert 1 <= float(number) < 1000
    assert len(number.replace(".", "")) == 3


@given(st.floats(1, 1e14))
def test_a_number_without_a_unit(value):
    number, _, prefix = si(value).partition(" ")
    assert math.isclose(float(number) * SIZES[prefix], value, rel_tol=0.0051)


@pytest.mark.parametrize(
    ("picojoules", "expected"),
    [
        (0, "0 J"),
        (1e-30, "1e-42 J"),
        (4.6, "4.60 pJ"),
        (999.6, "1.00 nJ"),
        (2.25e6, "2.25 µJ"),
        (5e10, "50.0 mJ"),
    ],
)
def test_energies(picojoules, expected):
    assert joules(picojoules) == expected


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0 B"), (999, "999 B"), (66_812, "66.8 kB"), (1_240_000, "1.2 MB")]
)
def test_sizes(count, expected):
    assert size(count) == expected
