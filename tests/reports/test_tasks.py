"""Pages of regressions, of classes for steps, and of a task of one's own."""

import dataclasses
import itertools
import json
import re

import pytest
import torch

from asnn.coding import create_coding
from asnn.core.metric import ACCURACY, Metric
from asnn.datasets.base import Split
from asnn.reports.comparison import comparison
from asnn.reports.metrics_view import COLUMNS_OF_MANY, MAX_COLUMNS, in_short, shown_steps
from asnn.reports.page import page
from asnn.tasks import create_task
from tests.support.html import faults, read_page
from tests.support.task_reports import SAMPLES, Share, report_of_task, series

pytestmark = pytest.mark.usefixtures("stub_figures")


@pytest.fixture(scope="module")
def regression():
    return report_of_task("regression", series(torch.linspace(-1, 1, SAMPLES), 6))


@pytest.fixture(scope="module")
def steps():
    labels = torch.arange(SAMPLES * 6).view(SAMPLES, 6) % 3 - 1
    return report_of_task("step-classification", series(labels, 6, ["rest", "beat"]))


def read(*reports):
    return read_page(page(reports, command="asnn report"))


def headings(found):
    return [tag.text for tag in found.all("h2")]


def alts(found):
    return [tag.attributes["aria-label"] for tag in found.all("svg")]


def leads(found):
    return [tag.text for tag in found.all("p") if tag.attributes.get("class") == "lead"]


def test_the_page_of_a_regression_has_its_metrics_and_no_confusions(regression):
    found = read(regression)
    assert faults(found) == []
    assert "Metrics of the task regression" in headings(found)
    assert not {"Confusions", "Calibration", "Accuracy, steps and energy"} & set(headings(found))
    assert "ccuracy" not in found.text and " image" not in found.text.replace(" image-r", "")
    figures = {key: float(value) for key, value in found.figures().items() if value}
    for name in ("mse", "mae", "r2", "loss"):
        assert figures[name] == regression.result.values[name]
    assert "energy per series" in found.text and "Costs are means over the series" in found.text
    assert re.search(r"mse [\d.]+ on 20 test samples of random", found.text)
    assert in_short(regression).startswith("mse ") and in_short(regression).endswith(" a series")
    # Contents name the sections, each of which exists.
    linked = [tag.attributes["href"][1:] for tag in found.all("a") if "run1" in str(tag.attributes)]
    ids = [tag.attributes["id"] for tag in found.all("h2") if "id" in tag.attributes]
    assert linked == ids[: len(linked)] and len(linked) == 10


def test_outputs_of_the_sample_are_its_answers_so_far(regression):
    outputs = regression.outputs
    split = regression.data.test
    torch.testing.assert_close(outputs.target, split.targets[:1].view(1, 1))
    # The mean of the outputs of the steps 1..t, whose last one the metric compares.
    errors = (outputs.outputs[-1, 0] - split.targets[0]).square()
    alone = dataclasses.replace(regression.data, test=Split(split.inputs[:1], split.targets[:1]))
    one = report_of_task("regression", alone)
    assert one.result.values["mse"] == pytest.approx(float(errors), rel=1e-5)
    (said,) = [alt for alt in alts(read(regression)) if alt.startswith("Outputs of 6 steps")]
    assert (
        f"at the last one output 1 {float(outputs.outputs[-1, 0]):.4g}, the target is -1." in said
    )


def test_targets_of_each_step_are_beside_the_outputs_of_each_step():
    targets = torch.rand(SAMPLES, 6, 1)
    targets[0, 2] = torch.nan  # not known
    task = create_task("regression", at="steps")
    data = series(targets, 6)
    coding = create_coding("given", steps=6)
    coding.bind(data.spec)
    task.bind(data, coding)
    report = report_of_task(task, data)
    torch.testing.assert_close(report.outputs.target, targets[0], equal_nan=True)
    assert faults(read(report)) == []


def test_the_page_of_step_classes_has_their_confusions(steps):
    found = read(steps)
    assert faults(found) == []
    assert "Metrics of the task step-classification" in headings(found)
    assert "Counts by true class (row) and predicted class (column)" in found.text
    assert "No sample is misclassified" not in found.text and not found.all("img")
    assert "accuracy of rest" in found.text and "balanced accuracy" in found.text
    labels = steps.data.test.targets[0]
    predicted = steps.outputs.outputs.argmax(1)
    correct = int((predicted == labels)[labels >= 0].sum())
    (said,) = [alt for alt in alts(found) if alt.startswith("Outputs of 6 steps")]
    assert said.endswith(f"{correct} of 4 labelled steps are correct.")


@pytest.mark.slow
def test_an_empty_confusion_is_not_shown(steps):
    result = steps.result
    for confusion in ([], [[0, 0], [0, 0]], [[1]]):
        values = {**result.values, "confusion": confusion}
        empty = dataclasses.replace(steps, result=dataclasses.replace(result, values=values))
        assert "Confusions" not in headings(read(empty))
    assert "Confusions" in headings(read(steps))  # negative control


def test_a_task_of_ones_own_has_a_table_by_step():
    report = report_of_task(Share(), series(torch.rand(SAMPLES), 6))
    found = read(report)
    assert faults(found) == []
    assert "Metrics of the task share" in headings(found)
    row = next(
        tag for tag in found.all("tr") if tag.text.startswith("error") and "t =" not in tag.text
    )
    heads = [tag.text for tag in found.all("th") if tag.text.startswith("t = ")]
    assert heads[:6] == [f"t = {t}" for t in range(1, 7)]
    by_step = [f"{value:,.4g}" for value in report.result.values["error_per_step"]]
    assert any(tag.text == "error" + "".join(by_step) for tag in found.all("tr")), row.text
    assert found.figures()["bias"] == ""  # a metric that is not known
    assert json.dumps(report.figures(), allow_nan=False)


def test_tables_of_many_steps_show_some_of_them():
    assert shown_steps(MAX_COLUMNS) == list(range(MAX_COLUMNS))
    some = shown_steps(1301)
    assert len(some) == COLUMNS_OF_MANY and (some[0], some[-1]) == (0, 1300)
    gaps = {b - a for a, b in itertools.pairwise(some)}
    assert max(gaps) - min(gaps) <= 1
    found = read(report_of_task("regression", series(torch.rand(SAMPLES), 100)))
    assert "by layer and some of the steps" in found.text
    (table,) = [tag for tag in found.all("caption") if tag.text.startswith("Spikes per neuron")]
    assert "t = 100" in found.text and "t = 2 " not in found.text and table.text


@pytest.mark.slow
def test_tables_of_classes_over_many_steps_are_short():
    data = series(torch.arange(SAMPLES) % 2, 100, ["a", "b"])
    report = report_of_task("classification", data)
    found = read(report)
    assert faults(found) == []
    assert "The prediction after some of the steps" in found.text
    rows = [tag.text for tag in found.all("tr")]
    shown = [t + 1 for t in shown_steps(100)]
    for t in (1, 2, 100):
        is_row = any(re.match(rf"{t} steps?{t}\.00", row) for row in rows)
        assert is_row == (t in shown)
    assert sum(row.startswith("confidence ≥") for row in rows) == 7
    assert "samples that exit at step" not in found.text


@pytest.mark.parametrize("greater", [True, False])
def test_the_best_run_flips_with_the_direction_of_the_metric(greater):
    class Other(Share):
        primary = Metric("error", greater_is_better=greater, percent=False)

    data = series(torch.rand(SAMPLES), 6)
    reports = [report_of_task(Other(), data, seed=seed, path=f"runs/{seed}") for seed in (0, 1)]
    found = comparison(reports, ["a", "b"], {})
    errors = [report.result.values["error"] for report in reports]
    best = [row["cells"][0]["best"] for row in found["rows"]]
    assert best == [error == (max if greater else min)(errors) for error in errors]
    name = "ab"[best.index(True)]
    extreme = "highest" if greater else "lowest"
    assert found["lead"].startswith(f"{name} is best, with the {extreme} error (")
    assert found["heads"][:3] == ["error", "bias", "energy"] and "ECE" not in found["heads"]
    assert found["curves"] == [] and found["many"] == "series"


@pytest.mark.slow
def test_runs_of_different_tasks_are_not_ranked(regression, steps):
    same = [dataclasses.replace(each, samples="the same") for each in (regression, steps)]
    found = comparison(same, ["a", "b"], {})
    assert not any(cell["best"] for row in found["rows"] for cell in row["cells"])
    assert found["lead"] == (
        "The runs have different tasks, which do not compare: regression (mse) and "
        "step-classification (accuracy)."
    )
    first = [row["cells"][0]["text"] for row in found["rows"]]
    assert first[0].startswith("mse ") and first[1].startswith("accuracy ")
    shown = read(*same)
    assert faults(shown) == [] and "No run is ranked." in shown.text
    # Negative control: two of the same task are ranked.
    assert comparison([same[0]] * 2, ["a", "b"], {})["different_tasks"] is None


@pytest.mark.slow
def test_curves_are_those_of_the_metrics(regression):
    history = [
        {"epoch": e, "train_mse": 1 / e, "validation_mse": 2 / e, "validation_r2": 0.5, **loss}
        for e, loss in ((e, {"train_loss": 1.0, "validation_loss": 2.0}) for e in (1, 2))
    ]
    report = dataclasses.replace(
        regression, record=dataclasses.replace(regression.record, history=history)
    )
    said = alts(read(report))
    assert "Mse over 2 epochs: train from 1 to 0.5 and validation from 2 to 1." in said
    assert "R2 over 2 epochs: from 0.5 to 0.5." in said
    assert "Loss, mse, mae, r2 and spike rate by epoch." in read(report).text


def test_a_series_is_drawn_with_its_code(regression):
    (said,) = [alt for alt in alts(read(regression)) if "in the code given" in alt]
    assert said.startswith("Sample 0, -1, in the code given of 6 steps: 4 values a step, from ")


def test_a_network_without_spikes_has_none():
    report = report_of_task("regression", series(torch.rand(SAMPLES), 6), name="lstm")
    found = read(report)
    assert faults(found) == []
    assert found.figures()["spikes_per_sample"] == "" and " spikes and" not in leads(found)[0]
    assert "No layer of this network has spikes." in found.text
    assert "spikes" not in in_short(report)


def test_accuracy_is_the_metric_by_default(steps):
    assert steps.metric == ACCURACY
    assert steps.figures()["accuracy"] == steps.result.values["accuracy"]
