"""What the figure of a learning rate range test shows."""

import math

import pytest

from asnn.measure.figures import range_test
from asnn.measure.figures.range_test import draw_range_test

RATES = [1e-4, 1e-3, 1e-2, 1e-1]


@pytest.fixture
def limits(monkeypatch, tmp_path):
    """Draw, and return the limits of the losses."""

    def draw(losses):
        found = []
        monkeypatch.setattr(
            range_test, "save_figure", lambda path, figure: found.append(figure.axes[0].get_ylim())
        )
        draw_range_test(tmp_path / "a.png", RATES, losses, losses, 1e-3, "a test")
        return found[0]

    return draw


def test_divergence_does_not_flatten_the_rest(limits):
    assert limits([2.0, 1.0, 0.5, 1e6]) == (0, 3.0)


def test_losses_below_zero_are_shown(limits):
    low, high = limits([-1.0, -2.0, -3.0, 1e6])
    assert low < -3
    assert high == -0.5


@pytest.mark.parametrize("losses", [[0.0] * 4, [math.nan] * 4, [2.0, math.nan, 1.0, math.inf]])
def test_losses_that_do_not_change_or_are_not_finite(limits, losses):
    low, high = limits(losses)
    assert low < high
