"""Several runs beside each other."""

import pytest

from asnn.reports.comparison import comparison, labels_of


@pytest.fixture(scope="module")
def reports(report_of):
    return [
        report_of(path=f"x/{i}/run", seed=i, coding=code)
        for i, code in enumerate(("hybrid", "temporal"))
    ]


def test_runs_are_called_by_what_differs(reports):
    assert labels_of(reports, {"coding.name": ["hybrid", "temporal"]}) == ["hybrid", "temporal"]
    both = {"coding.name": ["a", "a"], "coding.steps": [2, 4]}
    assert labels_of(reports, both) == ["a, steps 2", "a, steps 4"]
    assert labels_of(reports, {"train.seed": [1, 2]}) == ["seed 1", "seed 2"]


def test_runs_of_one_name_are_called_by_their_path(reports):
    assert labels_of(reports, {}) == ["x/0/run", "x/1/run"]


def test_the_best_of_each_figure_is_marked(reports):
    found = comparison(reports, ["a", "b"], {})
    best = {"accuracy": max, "picojoules_per_sample": min, "spikes_per_sample": min}
    for place, (key, of) in enumerate(best.items()):
        values = [report.figures()[key] for report in reports]
        marked = [row["cells"][place]["best"] for row in found["rows"]]
        differ = values[0] != values[1]
        assert differ or key == "accuracy"
        assert marked == [differ and value == of(values) for value in values]


def test_nothing_is_best_among_equals(reports):
    found = comparison([reports[0]] * 2, ["a", "b"], {})
    assert not any(cell["best"] for row in found["rows"] for cell in row["cells"])
    assert found["lead"] == "All runs come to the same figures."
