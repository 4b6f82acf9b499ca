"""The log for MLflow in docs/training.md, with a stand-in for MLflow, as an installed package."""

import json
import re
import sys
import types
from pathlib import Path

import pytest

import asnn
from asnn.learning.monitoring.registry import observer_registry
from tests.support.installed_package import findable, install

PAGE = (Path(__file__).parents[3] / "docs" / "training.md").read_text("utf-8")
MARK = "<!-- a test runs this log -->"


class FakeMlflow(types.ModuleType):
    """Records runs by their id, with parameters, metrics and status."""

    def __init__(self):
        super().__init__("mlflow")
        self.runs, self.active = {}, None

    def start_run(self, run_id, run_name):
        if run_id is None:
            run_id = f"id-{len(self.runs)}"
            self.runs[run_id] = {"name": run_name, "params": {}, "metrics": {}, "status": None}
        self.active = self.runs[run_id]
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=run_id))

    def log_params(self, params):
        assert not self.active["params"].keys() & params.keys()  # MLflow refuses other values
        self.active["params"] |= params

    def log_metrics(self, metrics, step):
        for name, value in metrics.items():
            self.active["metrics"].setdefault(name, []).append((step, value))

    def end_run(self, status):
        self.active["status"] = status


@pytest.mark.slow
def test_the_example_for_mlflow_logs_a_training_that_is_stopped_and_resumed(tmp_path, monkeypatch):
    (code,) = re.findall(re.escape(MARK) + r"\n```python\n(.*?)```", PAGE, re.DOTALL)
    group = re.escape('[project.entry-points."asnn.observers"]')
    (entry,) = re.findall(r"```toml\n" + group + r"\n(.*?)```", PAGE, re.DOTALL)
    name, target = re.search(r'(\w+) = "(.*)"', entry).groups()
    package, module = target.partition(":")[0].split(".")
    site = tmp_path / "site"
    site.mkdir()
    install(site, package, {module: code}, f"[asnn.observers]\n{name} = {target}\n")
    mlflow = FakeMlflow()
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    changes = {
        "data.limit": 60, "model.name": "mlp", "model.features": [4], "train.batch_size": 20,
        "train.epochs": 3, "train.log": name,
    }  # fmt: skip
    with findable(site, package, observer_registry):
        calls = iter(range(1000))
        part = asnn.train(
            "digits", out=tmp_path / "run", changes=changes, stop=lambda: next(calls) >= 6
        )
        assert [run["status"] for run in mlflow.runs.values()] == ["KILLED"]
        run = asnn.train(resume=part.path)
    (found,) = mlflow.runs.values()
    assert found["status"] == "FINISHED" and found["name"] == "run"
    assert found["params"]["train.batch_size"] == 20 and found["params"]["model.features"] == [4]
    metrics = [json.loads(line) for line in run.files.metrics.read_text().splitlines()]
    for key in ("train_loss", "validation_accuracy", "spike_rate"):
        assert found["metrics"][key] == [(each["epoch"], each[key]) for each in metrics]
