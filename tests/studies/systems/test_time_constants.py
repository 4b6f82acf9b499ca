"""The study of time constants: its figures are those of an evaluation."""

import pytest

from asnn.learning import check_recipe, train
from asnn.records.layout import Run
from asnn.records.open_run import open_run
from studies.systems import time_constants
from tests.support.trainings import KeepTraining


@pytest.mark.slow
def test_points(tmp_path):
    run = Run(tmp_path / "run")
    run.path.mkdir()
    recipe = check_recipe(
        {
            "data": {"limit": 60},
            "coding": {"name": "times", "steps": 1, "window": 0.1},
            "model": {
                "name": "timing-mlp",
                "neuron": "multi-spike",
                "features": [12],
                "weight_mean": [8.0, 20.0],
            },
            "neuron": {"tau_s": 0.2, "most": 2, "threshold": 0.05},
            "readout": {"name": "earliest", "tau": 0.01},
            "method": {"name": "exact"},
            "train": {"epochs": 1, "seed": 3},
        }
    )
    train(recipe, run, KeepTraining())
    found = open_run(run.path).evaluate("test")
    point = time_constants.point(open_run(run.path))
    assert point[:3] == (0.2, 2, 3)
    assert (point.accuracy, point.spikes) == (found.accuracy, found.spikes_per_sample)
    assert point.spikes > 0
    assert point.overflows == found.overflows["timing1"]
    assert time_constants.row(point).startswith("| 0.2 | 2 | 3 |")
