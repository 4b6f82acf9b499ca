"""The comparison of several runs."""

import dataclasses
import re

import pytest

from asnn.records.layout import Run
from asnn.reports.comparison import comparison, labels_of

pytestmark = pytest.mark.usefixtures("stub_figures")


@pytest.fixture(scope="module")
def reports(report_of):
    found = [
        report_of(path=f"x/{i}/run", seed=i, coding=code)
        for i, code in enumerate(("hybrid", "temporal"))
    ]
    return [dataclasses.replace(each, samples="the same") for each in found]


def named(report, *paths):
    """Copies of a report with these folders."""
    return [
        dataclasses.replace(report, record=dataclasses.replace(report.record, run=Run(path)))
        for path in paths
    ]


def test_labels_are_the_settings_that_differ(reports):
    assert labels_of(reports, {"coding.name": ["hybrid", "temporal"]}) == ["hybrid", "temporal"]
    both = {"coding.name": ["a", "a"], "coding.steps": [2, 4]}
    assert labels_of(reports, both) == ["T 2", "T 4"]
    assert labels_of(reports, {"train.seed": [1, 2]}) == ["seed 1", "seed 2"]


def test_labels_include_all_settings_that_differ(reports):
    differences = {
        "train.seed": [0, 1, 2],
        "coding.name": ["hybrid", "hybrid", "temporal"],
        "coding.steps": [4, 4, 4],
        "model.neuron": ["fixed", None, "fixed"],
        "train.lr": [1, 2, 3],
    }
    assert labels_of(named(reports[0], "a", "b", "c"), differences) == [
        "hybrid, fixed, seed 0",
        "hybrid, –, seed 1",
        "temporal, fixed, seed 2",
    ]


def test_labels_are_the_parts_of_names_that_differ_if_settings_are_equal(reports):
    runs = named(reports[0], "s/lr=1,seed=0,x", "s/lr=2,seed=0,x", "s/lr=2,seed=1\x1b,x")
    assert labels_of(runs, {"train.lr": [1, 2, 2], "train.seed": [0, 0, 1]}) == [
        "lr=1,seed=0",
        "lr=2,seed=0",
        "lr=2,seed=1\\x1b",
    ]
    # Without the common part the first name would be empty, so full names are used.
    assert labels_of(named(reports[0], "a", "a,b"), {}) == ["a", "a,b"]


def test_labels_of_equal_names_are_parts_of_paths(reports):
    assert labels_of(reports, {}) == ["0", "1"]


def test_the_best_of_each_figure_is_marked(reports):
    found = comparison(reports, ["a", "b"], {})
    best = {"accuracy": max, "picojoules_per_sample": min, "spikes_per_sample": min}
    for column, (key, of) in enumerate(best.items()):
        values = [report.figures()[key] for report in reports]
        marked = [row["cells"][column]["best"] for row in found["rows"]]
        differ = values[0] != values[1]
        assert differ or key == "accuracy"
        assert marked == [differ and value == of(values) for value in values]


def test_equal_values_are_not_marked(reports):
    found = comparison([reports[0]] * 2, ["a", "b"], {})
    assert not any(cell["best"] for row in found["rows"] for cell in row["cells"])
    assert found["lead"] == "All runs have the same accuracy and energy."


def test_several_runs_can_be_best(reports):
    a, b = reports
    c = dataclasses.replace(a)
    found = comparison([a, b, c], ["a", "b", "c"], {})
    cheapest = "a and c are" if found["rows"][0]["cells"][1]["best"] else "b is"
    assert f"{cheapest} cheapest" in found["lead"]
    energies = [row["cells"][1]["value"] for row in found["rows"]]
    found = comparison([c, a], ["c", "a"], {})
    assert energies[0] == energies[2] and "cheapest" not in found["lead"]


def test_different_samples_are_not_compared(reports):
    a, b = reports
    for other, same in (("the same", True), ("others", False)):
        found = comparison([a, dataclasses.replace(b, samples=other)], ["a", "b"], {})
        assert found["same_data"] is same
        assert any(cell["best"] for row in found["rows"] for cell in row["cells"]) is same
        assert ("cheapest" in found["lead"]) is same


def test_other_training_data_do_not_change_the_samples(reports):
    a, b = reports
    other = dataclasses.replace(b, data=dataclasses.replace(b.data, fingerprint="e" * 64))
    assert comparison([a, other], ["a", "b"], {})["same_data"]


def test_network_without_spikes_is_not_best_in_spikes(reports, report_of):
    analog = report_of(path="x/ann", neuron="relu", coding="direct", steps=1)
    analog = dataclasses.replace(analog, samples="the same")
    found = comparison([analog, *reports], ["ann", "a", "b"], {})
    cells = [row["cells"][2] for row in found["rows"]]
    assert (cells[0]["text"], cells[0]["best"]) == ("–", False)
    fewest = min(cells[1]["value"], cells[2]["value"])
    assert [cell["best"] for cell in cells[1:]] == [cell["value"] == fewest for cell in cells[1:]]
    alone = comparison([analog, reports[0]], ["ann", "a"], {})
    assert not any(row["cells"][2]["best"] for row in alone["rows"])


def test_runs_with_equal_labels_are_all_drawn(reports):
    found = comparison(reports, ["same", "same"], {})
    for figure in found["curves"]:
        assert re.search('aria-label="([^"]*)"', figure)[1].count("same ") == 2


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 9])
def test_legend_of_long_names_does_not_cover_the_axes(count):
    from asnn.reports import cost_figures

    names = [f"{i}-" + 40 * "wide " for i in range(count)]
    exits = [{"exit": None, "steps": t, "accuracy": 0.5, "picojoules": t} for t in (1, 2)]
    for drawing in (
        cost_figures.accuracy_of_runs([(name, [(1, 0.5), (2, 0.6)]) for name in names]),
        cost_figures.tradeoff_of_runs([(name, exits) for name in names]),
    ):
        figure = drawing.figure
        figure.draw_without_rendering()
        (axes,), (legend,) = figure.axes, figure.legends
        box, around = legend.get_window_extent(), axes.get_tightbbox()
        assert box.y1 <= around.y0 and box.x0 >= 0 and box.x1 <= figure.bbox.x1
        assert axes.bbox.height > 1.8 * figure.dpi
        assert len(legend.get_texts()) == count
