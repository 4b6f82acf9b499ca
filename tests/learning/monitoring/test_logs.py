"""Logs: their rows, resumed trainings, failures that end no training, and refusals."""

import csv
import importlib.machinery
import json
import sys
import types

import pytest

import asnn
from asnn.core import AsnnError, ConfigError
from asnn.learning import Log
from asnn.learning.monitoring.registry import find_logs, observer_registry

SMALL = {
    "data.limit": 60,
    "model.name": "mlp",
    "model.features": [4],
    "train.batch_size": 20,
    "train.epochs": 3,
    "train.checkpoint_steps": 1,
}


def metrics_of(run):
    return [json.loads(line) for line in run.files.metrics.read_text().splitlines()]


def stopped(tmp_path, call, **changes):
    calls = iter(range(10_000))
    return asnn.train(
        "digits", out=tmp_path / "part", changes={**SMALL, **changes},
        stop=lambda: next(calls) >= call,
    )  # fmt: skip


class FakeWriter:
    """Records what a SummaryWriter is given; writes a file as TensorBoard's does."""

    all: list = []  # noqa: RUF012

    def __init__(self, folder):
        from pathlib import Path

        FakeWriter.all.append(self)
        self.scalars, self.closed = [], False
        Path(folder).mkdir(exist_ok=True)
        (Path(folder) / f"events.out.tfevents.{len(FakeWriter.all)}").write_text("")

    def add_scalar(self, tag, value, step):
        self.scalars.append((tag, value, step))

    def flush(self):
        pass

    def close(self):
        self.closed = True


@pytest.fixture
def writer(monkeypatch):
    FakeWriter.all = []
    for name in ("tensorboard", "torch.utils.tensorboard"):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.SummaryWriter = FakeWriter
        monkeypatch.setitem(sys.modules, name, module)
    return FakeWriter


@pytest.mark.slow
def test_the_table_has_the_metrics_of_each_epoch(tmp_path):
    run = asnn.train("digits", out=tmp_path / "run", changes={**SMALL, "train.log": "csv"})
    with (run.path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    expected = metrics_of(run)
    assert len(rows) == 3
    for row, metrics in zip(rows, expected, strict=True):
        assert float(row.pop("seconds")) > 0
        assert {key: float(value) for key, value in row.items()} == {
            key: value for key, value in metrics.items() if key != "format"
        }


@pytest.mark.slow
@pytest.mark.parametrize("call", [2, 5, 8])
def test_resumed_the_table_has_no_row_twice(tmp_path, call):
    part = stopped(tmp_path, call, **{"train.log": "csv"})
    again = asnn.train(resume=part.path)
    with (again.path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    found = [float(row["validation_loss"]) for row in rows]
    assert found == [each["validation_loss"] for each in metrics_of(again)]


@pytest.mark.slow
def test_tensorboard_gets_scalars_once(tmp_path, writer):
    part = stopped(tmp_path, 5, **{"train.log": "tensorboard", "train.statistics": True})
    first = writer.all[0]
    assert first.closed and {step for _, _, step in first.scalars} == {3}
    run = asnn.train(resume=part.path)
    assert len(list((run.path / "tensorboard").glob("events.*"))) == 1
    scalars = writer.all[1].scalars
    assert writer.all[1].closed and len({(tag, step) for tag, _, step in scalars}) == len(scalars)
    for metrics in metrics_of(run):
        for tag, key in (
            ("loss/train", "train_loss"), ("accuracy/validation", "validation_accuracy"),
            ("lr", "lr"), ("spike_rate", "spike_rate"),
        ):  # fmt: skip
            assert (tag, metrics[key], metrics["step"]) in scalars
    layers = [json.loads(line)["layers"] for line in run.files.statistics.read_text().splitlines()]
    tags = {tag for tag, _, _ in scalars}
    assert {f"{name}/{layer}" for layer in layers[0] for name in ("gradient", "weight")} <= tags


def test_without_its_package_it_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(AsnnError, match="the package tensorboard is missing") as refused:
        asnn.train("digits", out=tmp_path / "run", changes={**SMALL, "train.log": "tensorboard"})
    assert "leave tensorboard out of train.log" in refused.value.remedy
    assert not (tmp_path / "run").exists()


def test_an_unknown_log_lists_what_there_is(tmp_path):
    with pytest.raises(
        ConfigError, match="unknown log 'tensorbord': choose from csv, tensor"
    ) as of_log:
        asnn.train("digits", out=tmp_path / "run", changes={**SMALL, "train.log": "tensorbord"})
    assert of_log.value.remedy == "did you mean 'tensorboard'?"
    with pytest.raises(ConfigError, match="unknown log 'wandb'") as of_log:
        find_logs(["wandb"])
    assert of_log.value.remedy == "a plug-in adds others: docs/training.md has that of MLflow"


@pytest.mark.slow
def test_a_trained_run_is_read_where_its_logs_are_missing(tmp_path):
    run = asnn.train("digits", out=tmp_path / "run", changes={**SMALL, "train.epochs": 1})
    config = run.files.config
    config.write_text(config.read_text().replace("log = []", 'log = ["nowhere"]'))
    assert asnn.open_run(run.path).recipe.train.log == ["nowhere"]


class Failing(Log):
    def epoch_done(self, training, metrics):
        raise OSError("the server does not answer")


@pytest.mark.slow
def test_a_log_that_fails_ends_no_training_and_warns_once(tmp_path, monkeypatch):
    points = {"failing": type("Point", (), {"value": "x", "load": lambda self: Failing})()}
    monkeypatch.setitem(observer_registry.__dict__, "_external", points)
    assert find_logs(["failing"]) == {"failing": Failing}
    with pytest.warns(UserWarning) as warned:
        run = asnn.train("digits", out=tmp_path / "run", changes={**SMALL, "train.log": "failing"})
    found = [str(each.message) for each in warned if "the log" in str(each.message)]
    assert found == ["the log failing is left out from now on: OSError: the server does not answer"]
    assert run.files.finished and len(metrics_of(run)) == 3
