"""`asnn sweep` of regressions and of classes for steps: trained, compared, searched."""

import json

import pytest

from asnn.sweeps import pool
from tests.support.series_tasks import MODEL, regression_file, step_file

GRID = ["--grid", "train.lr=1e-4,1e-2", "--seeds", "2"]


@pytest.fixture(autouse=True)
def warm_members(warm, monkeypatch):
    monkeypatch.setattr(pool, "WORKER", [str(warm.worker)])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_a_sweep_of_regressions_compares_their_mse(cli, tmp_path):
    options = regression_file(tmp_path / "a.npz")
    result = cli("sweep", *options, *GRID, "--out", "s", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["metric"] == {"name": "mse", "greater_is_better": False, "percent": False}
    assert found["other_metrics"] == ["mae", "r2"]
    slow, fast = found["points"]
    # The mean of the members is that of `asnn eval`, and the lower one has the first rank.
    evaluated = [
        json.loads(cli("eval", f"s/train.lr=0.01,seed={seed}", "--json").out)["mse"]
        for seed in (0, 1)
    ]
    assert fast["mse"]["mean"] == pytest.approx(sum(evaluated) / 2, rel=1e-5)
    assert fast["mse"]["mean"] < slow["mse"]["mean"]
    assert (slow["rank"], fast["rank"]) == (2, 1)
    (change,) = found["comparisons"]["single"]
    assert change["difference"] == pytest.approx(fast["mse"]["mean"] - slow["mse"]["mean"])
    assert "units of mse, below 0 is better" in result.err
    assert "seed=1: mse 0." in result.err
    assert "lower is better" in (tmp_path / "s/results.md").read_text()
    assert (tmp_path / "s/results.png").stat().st_size > 1000
    assert cli("sweep", "--resume", "s", "--json").out == result.out


def test_a_search_of_regressions_seeks_the_least_mse(cli, tmp_path):
    pytest.importorskip("optuna")
    options = regression_file(tmp_path / "a.npz")
    search = ["--search", "train.lr=1e-4,1e-2,3e-2", "--trials", "4"]
    result = cli("sweep", *options, *search, "--out", "s", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    values = [each["validation_mse"] for each in found["trials"]]
    assert values == sorted(values) and found["best"]["validation_mse"] == values[0]
    assert "by validation mse (lower is better)" in result.err


def test_a_sweep_of_step_classes_compares_their_accuracy(cli, tmp_path):
    options = step_file(tmp_path / "a.npz")
    result = cli("sweep", *options, *GRID, "--out", "s", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    slow, fast = found["points"]
    assert fast["accuracy"]["mean"] > slow["accuracy"]["mean"]
    assert (slow["rank"], fast["rank"]) == (2, 1)
    assert found["other_metrics"] == ["balanced_accuracy"]
    assert fast["accuracy_per_step"] == []
    assert "balanced accuracy" in (tmp_path / "s/results.md").read_text()


def test_tasks_with_different_metrics_are_refused(cli, tmp_path):
    regression_file(tmp_path / "a.npz"), step_file(tmp_path / "b.npz")
    grid = "task.name=regression,step-classification;data.path=a.npz,b.npz"
    result = cli("sweep", *MODEL, "--grid", grid)
    assert result.code == 2
    assert "the members have different primary metrics" in result.err
    assert "make a sweep for each task" in result.err
