"""The metric in the files of a run."""

import pytest

from asnn.core.metric import ACCURACY, Metric


@pytest.mark.parametrize("metric", [ACCURACY, Metric("mse", False, False)])
def test_plain_values_give_the_metric_again(metric):
    assert Metric.from_document(metric.document()) == metric


@pytest.mark.parametrize(
    "document",
    [None, {}, 7, {"name": 3}, {"name": "a b"}, {"name": "x", "percent": "yes"}, {"nam": "x"}],
)
def test_runs_without_a_metric_have_accuracy(document):
    assert Metric.from_document(document) == ACCURACY


def test_values_are_shown_and_ranked():
    assert ACCURACY.text(0.98765) == "98.77 %"
    assert Metric("balanced_accuracy").title == "balanced accuracy"
    mse = Metric("mse", greater_is_better=False, percent=False)
    assert max([0.3, 0.1, 0.2], key=mse.rank) == 0.1


def test_figures_and_changes_in_the_unit_of_the_metric():
    error = Metric("squared_error", greater_is_better=False, percent=False)
    assert (ACCURACY.axis, error.axis) == ("accuracy, %", "squared error")
    assert (ACCURACY.scale, error.scale) == (100, 1)
    assert (ACCURACY.figure(0.975), error.figure(0.0123456)) == ("97.50", "0.01235")
    assert (ACCURACY.change(-0.0125), error.change(0.0125)) == ("-1.25", "+0.0125")
    assert ACCURACY.unit_of_change == "percentage points"
    assert error.unit_of_change == "units of squared error"
    assert (ACCURACY.direction, error.direction) == ("higher is better", "lower is better")
