"""Numbers as text."""

import pytest

from asnn.reports import wording


@pytest.mark.parametrize(
    ("picojoules", "said"),
    [(0, "0 J"), (12.34, "12.3 pJ"), (999, "999 pJ"), (2.25e6, "2.25 µJ"), (5e10, "50.0 mJ")],
)
def test_energies(picojoules, said):
    assert wording.energy(picojoules) == said.replace(" ", "\N{NO-BREAK SPACE}")


@pytest.mark.parametrize(
    ("value", "said"), [(12, "12"), (1234.4, "1,234"), (12.345, "12.3"), (None, "–"), (0.0, "0")]
)
def test_numbers(value, said):
    assert wording.number(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(999, "999"), (1000, "1.00 k"), (215168, "215 k"), (1.742e6, "1.74 M")]
)
def test_numbers_in_short(value, said):
    assert wording.short_number(value) == said.replace(" ", "\N{NO-BREAK SPACE}")


def test_lists_and_long_names():
    assert [wording.listed(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert wording.truncate("abcdef", 4) == "abc…"
