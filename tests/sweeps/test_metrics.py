"""Sweeps of tasks with another primary metric: which value is better, how it is shown."""

import json

import pytest

from asnn.core import ConfigError
from asnn.core.metric import ACCURACY, Metric
from asnn.sweeps import Definition, parse_axis
from asnn.sweeps.comparison import ALL_EQUAL, compare, paired
from asnn.sweeps.figure import draw_results
from asnn.sweeps.folder import SweepFolder, make_folder
from asnn.sweeps.grid import expand
from asnn.sweeps.plan import Member, Plan, _one_metric
from asnn.sweeps.results import ranked, summarise
from asnn.sweeps.results_page import metric_text, page, results_table
from asnn.sweeps.search_results import search_results, search_table, write_search_results
from tests.support.evaluations import evaluation

MSE = Metric("mse", greater_is_better=False, percent=False)
GAIN = Metric("gain", percent=False)  # the same numbers, of which the greater is better
VALUES = {1: [0.4, 0.5, 0.6], 2: [0.04, 0.06, 0.02], 3: [0.2, 0.1, 0.3]}
GRID = "train.batch_size=1,2,3"


class Recipe:
    def __init__(self, seed):
        self.train = type("Train", (), {"seed": seed})


def record(value, seed, metric, **more):
    return {
        "split": "test",
        "metric": metric.document(),
        "tracked": [metric.name, "r2", "absolute_error"],
        "data": "waves",
        "fingerprint": "0123456789abcdef",
        "steps": 8,
        "seed": seed,
        "epochs": 3,
        "samples": 100,
        metric.name: value,
        "r2": 1 - value,
        "loss": value,
        "absolute_error": None,
        "spike_rates": {"spikes1": [0.1]},
        "spike_rate": 0.1,
        "spikes_per_sample": 12.0,
        "samples_per_second": 99.0,
        "training_seconds": 12.0,
        f"validation_{metric.name}": value,
        "parameters": 12,
        "machine": {"device": "cpu", "processor": "P", "cores": 2, "threads": 1, "torch": "2"},
        **more,
    }


def made(folder, metric, **more):
    """Return definition, plan and folder of a sweep whose members have the records of VALUES."""
    axes = (parse_axis(GRID),)
    definition = Definition("waves", {"name": "waves"}, axes=axes, seeds=(0, 1, 2))
    sweep, plan = make_folder(definition, folder / metric.name), Plan()
    for index, point in enumerate(expand(axes)):
        for seed in range(3):
            name = f"{index}-{seed}"
            plan.members.append(Member(name, index, point, Recipe(seed)))
            (sweep.path / name).mkdir()
            content = record(VALUES[index + 1][seed], seed, metric, **more)
            (sweep.path / name / "evaluation.json").write_text(json.dumps(content))
    return definition, plan, sweep


def test_ranking_flips_with_the_direction(tmp_path):
    ranks = {}
    for metric in (MSE, GAIN):
        results = summarise(*made(tmp_path, metric), {})
        assert results["metric"] == metric.document()
        assert results["points"][1][metric.name]["mean"] == pytest.approx(0.04)
        ranks[metric.name] = [point["rank"] for point in results["points"]]
        json.dumps(results, allow_nan=False)
    assert ranks == {"mse": [3, 1, 2], "gain": [1, 3, 2]}


def test_equal_and_missing_means():
    assert ranked([0.5, None, 0.5, 0.2], ACCURACY) == [1, None, 1, 3]
    assert ranked([0.5, None, 0.5, 0.2], MSE) == [2, None, 2, 1]
    assert ranked([], MSE) == []


def test_differences_are_those_of_the_metric(tmp_path):
    definition, plan, folder = made(tmp_path, MSE)
    records = {m.name: folder.record(m.name, "test") for m in plan.members}
    first, second = compare(definition, plan, records, MSE)["single"]
    assert first["difference"] == pytest.approx(0.04 - 0.5)
    assert second["difference"] == pytest.approx(0.2 - 0.5)
    # Student's t of the three pairs -0.36, -0.44, -0.58.
    deviation = (sum((d + 0.46) ** 2 for d in (-0.36, -0.44, -0.58)) / 2) ** 0.5
    assert first["t"] == pytest.approx(-0.46 / (deviation / 3**0.5))


def test_rounding_errors_of_large_values_are_no_spread():
    large = [1e6 + 0.3 - 1e6, 1e6 + 0.1 + 0.2 - 1e6 - 1e-10, 1e6 + 0.3 - 1e6]
    assert paired(large, size=1e6)["why"] == ALL_EQUAL
    # Negative controls: they are a spread of values near 1, and small values have small spreads.
    assert paired(large)["why"] is None
    assert paired([1e-13, 2e-13], size=1e-12)["why"] is None


def test_the_page_names_metric_unit_and_direction(tmp_path):
    results = summarise(*made(tmp_path, MSE), {})
    heads, rows = results_table(results)
    assert heads == [*("batch_size", "n", "mse", "r2", "absolute error"), "spikes", "training, s"]
    assert rows[1][:5] == ["2", "3", "0.04 ± 0.02", "0.96 ± 0.02", "–"]
    text = page(results)
    assert "compared by mse: lower is better" in text
    assert "## Differences in mse" in text and "In units of mse" in text
    assert "A difference below 0 is an improvement" in text
    assert "| batch_size 1 → 2 | – | 3 | -0.46 |" in text
    assert "accuracy" not in text and "percentage" not in text
    other = page(summarise(*made(tmp_path, GAIN), {}))
    assert "gain: higher is better" in other and "improvement" not in other


@pytest.mark.slow
def test_the_figure_has_the_metric_on_its_axis(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    said = []
    monkeypatch.setattr(Axes, "set_xlabel", lambda axes, text, **_: said.append(text))
    for metric in (MSE, GAIN):
        definition, plan, folder = made(tmp_path, metric)
        draw_results(folder.figure, summarise(definition, plan, folder, {}))
    assert said == ["mse (lower is better)", "gain (higher is better)"]


def test_a_network_without_spikes_has_none(tmp_path):
    more = {"spike_rates": {}, "spike_rate": 0.0, "spikes_per_sample": 0.0}
    results = summarise(*made(tmp_path, MSE, **more), {})
    assert results["points"][0]["spikes_per_sample"] == {"mean": None, "deviation": None}
    assert results_table(results)[1][0][-2] == "–"


def test_records_of_0_1_0_have_accuracy(tmp_path):
    (tmp_path / "m").mkdir()
    path = tmp_path / "m" / "evaluation.json"
    path.write_text(json.dumps(evaluation()))  # it has no `metric`
    folder = SweepFolder(tmp_path)
    assert folder.record("m", "test")["accuracy"] == 0.5
    for damaged in (evaluation(accuracy=None, mse=0.5), [], {"split": "test", "metric": "mse"}):
        path.write_text(json.dumps(damaged))
        assert folder.record("m", "test") is None


def test_members_with_different_metrics_are_refused():
    assert _one_metric({}) == ACCURACY
    assert _one_metric({"a": MSE, "b": MSE}) == MSE
    with pytest.raises(ConfigError, match="different primary metrics") as caught:
        _one_metric({"a": ACCURACY, "b": ACCURACY, "c": MSE})
    assert caught.value.why.splitlines() == [
        "a: accuracy, higher is better",
        "c: mse, lower is better",
    ]


def test_text_of_a_metric():
    assert metric_text({"mean": 0.5, "deviation": 0.01}, ACCURACY) == "50.00 ± 1.00"
    assert metric_text({"mean": 0.012345, "deviation": 0.00123}, MSE) == "0.01235 ± 0.0012"
    assert metric_text({"mean": 0.012345, "deviation": None}, MSE) == "0.01235"
    assert metric_text({"mean": None, "deviation": None}, MSE) == "–"


def test_results_of_a_search_name_the_metric(tmp_path):
    definition = Definition("waves", {"name": "waves"})
    folder = make_folder(definition, tmp_path / "s")
    trial = {"name": "trial-0000", "settings": {}, "state": "complete", "why": None}
    results = search_results(definition, folder, [{**trial, "validation_mse": 0.0123}], MSE)
    assert search_table(results) == (["trial", "validation mse"], [["0000", "0.0123"]])
    write_search_results(results, folder)
    assert "best validation mse (lower is better) of" in folder.report.read_text()
