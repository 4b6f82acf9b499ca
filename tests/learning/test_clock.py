"""A clock that jumps changes no result; durations come from clocks that do not jump."""

import itertools
import json
import time

import pytest

from asnn.learning import check_recipe, loop
from asnn.learning.loop import train
from asnn.records.layout import Run
from tests.support.trainings import KeepTraining, StopAfter

RECIPE = check_recipe(
    {
        "data": {"name": "digits", "limit": 80},
        "coding": {"name": "rate", "steps": 4},
        "model": {"name": "lenet", "widths": [2, 2], "hidden": 4},
        "train": {"epochs": 3, "batch_size": 32, "checkpoint_steps": 2},
    }
)
YEAR, DAY = 365 * 86400.0, 86400.0


def jumping(clock):
    """Return a clock that is off by something else at each call: back a year, on by a day."""
    offsets = itertools.cycle([0.0, -YEAR, DAY, -50 * YEAR])
    return lambda: clock() + next(offsets)


def seconds(run):
    lines = map(json.loads, run.times.read_text().splitlines())
    found = [line[key] for line in lines for key in ("seconds", "data_seconds")]
    return [*found, json.loads(run.summary.read_text())["seconds"]]


@pytest.fixture(autouse=True)
def without_curves(monkeypatch):
    monkeypatch.setattr(loop, "draw_curves", lambda *arguments, **options: None)  # the slowest part


@pytest.fixture(scope="module")
def steady(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("steady"))
    train(RECIPE, run, KeepTraining())
    return run


@pytest.mark.slow
@pytest.mark.parametrize("stop", [0, 5])
def test_a_clock_that_jumps_within_a_training_and_before_it_resumes(
    steady, tmp_path, monkeypatch, stop
):
    monkeypatch.setattr(time, "time", jumping(time.time))
    run = Run(tmp_path)
    if stop:
        assert train(RECIPE, run, KeepTraining(), stop=StopAfter(stop)) is None
        assert time.time() != time.time()
    train(RECIPE, run, KeepTraining(), resume=bool(stop))
    assert run.metrics.read_bytes() == steady.metrics.read_bytes()
    assert run.model.read_bytes() == steady.model.read_bytes()
    assert min(seconds(run)) >= 0 and max(seconds(run)) < 60


def test_durations_by_that_clock_would_be_noticed(tmp_path, monkeypatch):
    """Negative control: the clock of the durations jumps; the results stay."""
    monkeypatch.setattr(time, "perf_counter", jumping(time.perf_counter))
    run = Run(tmp_path)
    train(RECIPE, run, KeepTraining())
    assert min(seconds(run)) < 0 or max(seconds(run)) > 60
