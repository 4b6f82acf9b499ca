"""The comparison of learned schedules with their means, on a sweep of two members."""

import pytest
import torch

from asnn.cli.app import run
from asnn.models import create_model
from asnn.sweeps.folder import find_sweep
from studies import frozen_schedules as held


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweeps") / "small"
    tiny = ["data.limit=80", "train.epochs=2", "model.widths=[4]", "model.hidden=8"]
    changes = [part for each in tiny for part in ("--set", each)]
    grid = ["--grid", "model.neuron=fixed,adaptive", "--seeds", "2", "--jobs", "1"]
    assert run(["sweep", "digits", *changes, *grid, "--out", str(folder)]) == 0
    return folder


@pytest.mark.slow
def test_members_with_schedules_of_their_own(sweep, tmp_path):
    points = held.measure(find_sweep(sweep))
    assert list(points) == ["lenet, hybrid, T = 4"]  # the fixed ones have nothing to hold
    point = points["lenet, hybrid, T = 4"]
    assert [len(values) for values in point.accuracy.values()] == [2, 2, 2]
    assert len(point.learned) == 2
    lines = held.table(points)
    assert lines[2].startswith("| lenet, hybrid, T = 4 | 2 | ")
    held.draw(tmp_path / "learned.png", points)
    assert (tmp_path / "learned.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_by_hand():
    point = held.Point()
    point.accuracy = {
        "learned": [0.9, 0.92],
        "held": [0.5, 0.5],
        "held, statistics anew": [0.9, 0.9],
    }
    point.learned = [{}, {}]
    cells = held.table({"net": point})[2].split(" | ")
    assert cells[2:5] == ["91.00 ± 1.41", "50.00 ± 0.00", "90.00 ± 0.00"]
    # differences 0 and 2 points: mean 1, and t_{0.975, 1} = 12.706 times 1.414 / √2 = 1
    assert cells[5].startswith("+1.00 (-11.71 to +13.71)")


def test_what_does_not_change_with_time_costs_nothing_to_hold():
    from asnn.datasets import load_dataset
    from asnn.learning import check_recipe

    torch.manual_seed(0)
    model = create_model("mlp", in_shape=(1, 8, 8), classes=10, features=[8]).eval()
    found = held.accuracies(model, load_dataset("digits", limit=60), check_recipe({}))
    assert found["learned"] == found["held"]
