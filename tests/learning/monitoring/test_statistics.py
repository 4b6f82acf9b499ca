"""Norms of gradients, weights and updates: from a step of SGD, written out; resumed; in the run."""

import json

import pytest
import torch

import asnn
from asnn.learning import check_recipe, train
from asnn.learning.epoch import STATISTICS_EVERY
from asnn.learning.monitoring.statistics import mean_statistics, measured_step
from asnn.learning.training import prepare
from asnn.records.layout import Run
from tests.support.trainings import KeepTraining

SMALL = {
    "data": {"limit": 60},
    "coding": {"name": "hybrid", "steps": 3},
    "model": {"name": "lenet", "widths": [3, 4], "hidden": 8},
    "neuron": {"gain": 3.0},
    "train": {
        "epochs": 1, "batch_size": 60, "optimizer": "sgd", "momentum": 0.0, "lr": 0.5,
        "schedule": "constant", "device": "cpu", "statistics": True,
    },
}  # fmt: skip


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_a_step_of_sgd_gives_the_norms(tmp_path):
    """Δw = lr ∇: the norm of the gradient is ‖Δw‖ / lr, unless it is clipped."""
    recipe = check_recipe({**SMALL, "train": {**SMALL["train"], "freeze": ["conv1"]}})
    before = dict(prepare(recipe, Run(tmp_path)).model.named_parameters())
    observer = KeepTraining()
    train(recipe, Run(tmp_path), observer)
    after = dict(observer.training.model.named_parameters())
    (row,) = rows(tmp_path / "statistics.jsonl")
    assert row["epoch"] == 1 and not any(name.startswith("conv1") for name in row["layers"])
    for layer, found in row["layers"].items():
        names = [n for n in before if n.removeprefix("body.").rpartition(".")[0] == layer]
        assert names
        old = torch.cat([before[n].detach().flatten() for n in names])
        moved = torch.cat([after[n].detach().flatten() for n in names]) - old
        assert found["weight"] == pytest.approx(float(old.norm()), rel=1e-5)
        assert found["gradient"] == pytest.approx(float(moved.norm()) / 0.5, rel=1e-2, abs=1e-6)
        if old.norm():
            assert found["update"] == pytest.approx(
                float(moved.norm() / old.norm()), rel=1e-4, abs=1e-9
            )


@pytest.mark.slow
def test_statistics_do_not_change_the_training_and_gradients_are_those_before_clipping(tmp_path):
    found = {}
    for name, options in {
        "with": {"clip_norm": 0.01},
        "without": {"clip_norm": 0.01, "statistics": False},
        "free": {},
    }.items():
        run = Run(tmp_path / name)
        run.path.mkdir()
        recipe = check_recipe({**SMALL, "train": {**SMALL["train"], **options}})
        train(recipe, run, KeepTraining())
        found[name] = run
    assert found["with"].metrics.read_bytes() == found["without"].metrics.read_bytes()
    assert found["with"].model.read_bytes() == found["without"].model.read_bytes()
    assert not found["without"].statistics.exists()
    clipped, free = (rows(found[name].statistics)[0]["layers"] for name in ("with", "free"))
    assert clipped["conv2.layer"]["gradient"] == free["conv2.layer"]["gradient"] > 0.01
    assert clipped["conv2.layer"]["update"] < free["conv2.layer"]["update"]


def test_steps_without_finite_gradients_are_not_counted_and_zero_weights_have_no_ratio():
    layer = torch.nn.Linear(2, 1)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    sums = {}
    for gradient in (1.0, float("inf"), float("nan")):
        for p in layer.parameters():
            p.grad = torch.full_like(p, gradient)
        with measured_step(layer, sums):
            pass
    assert mean_statistics(sums) == {
        "": {"gradient": pytest.approx(3**0.5), "weight": 0.0, "update": None}
    }


@pytest.mark.slow
def test_killed_and_resumed_the_statistics_are_the_same(tmp_path):
    changes = {
        "data.limit": 100, "train.batch_size": 4, "train.epochs": 2, "train.statistics": True,
        "train.checkpoint_steps": 1, "model.name": "mlp", "model.features": [4],
    }  # fmt: skip
    whole = asnn.train("digits", out=tmp_path / "whole", changes=changes)
    assert STATISTICS_EVERY < 100 / 4  # two steps of each epoch are measured
    assert [row["epoch"] for row in rows(whole.files.statistics)] == [1, 2]
    for call in (10, 23, 31):
        calls = iter(range(10_000))
        part = asnn.train(
            "digits", out=tmp_path / f"{call}", changes=changes,
            stop=lambda calls=calls, call=call: next(calls) >= call,
        )  # fmt: skip
        again = asnn.train(resume=part.path)
        assert again.files.statistics.read_bytes() == whole.files.statistics.read_bytes()
        assert again.files.model.read_bytes() == whole.files.model.read_bytes()
