"""Learned and frozen schedules, on a small sweep."""

import pytest
import torch

from asnn.cli.recipe_files import recipe_file
from asnn.learning import read_document
from asnn.learning.observer import SilentObserver
from asnn.models import create_model
from asnn.sweeps import Definition, find_sweep, parse_axis
from asnn.sweeps.folder import make_folder
from asnn.sweeps.member import train_member
from asnn.sweeps.plan import make_plan
from studies import frozen_schedules as study


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A sweep of four small members, trained in this process."""
    changes = {"data.limit": 80, "train.epochs": 1, "model.widths": [4], "model.hidden": 8}
    definition = Definition(
        "digits",
        read_document(recipe_file("digits")),
        changes=tuple(changes.items()),
        axes=(parse_axis("model.neuron=fixed,adaptive"),),
        seeds=(0, 1),
    )
    folder = make_folder(definition, tmp_path_factory.mktemp("sweeps") / "small")
    for member in make_plan(definition, device="cpu").members:
        run = folder.run(member.name)
        assert train_member(member.recipe, run, "test", SilentObserver(), stop=lambda: False)
    return folder.path


@pytest.mark.slow
def test_members_with_learned_schedules(sweep, tmp_path):
    points = study.measure(find_sweep(sweep))
    assert list(points) == ["lenet, hybrid, T = 4"]  # fixed neurons have no learned schedules
    point = points["lenet, hybrid, T = 4"]
    assert [len(values) for values in point.accuracy.values()] == [2, 2, 2]
    assert len(point.learned) == 2
    lines = study.table(points)
    assert lines[2].startswith("| lenet, hybrid, T = 4 | 2 | ")
    study.draw(tmp_path / "learned.png", points)
    assert (tmp_path / "learned.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_by_hand():
    point = study.Point()
    point.accuracy = {
        "learned": [0.9, 0.92],
        "frozen": [0.5, 0.5],
        "frozen, new statistics": [0.9, 0.9],
    }
    point.learned = [{}, {}]
    cells = study.table({"net": point})[2].split(" | ")
    assert cells[2:5] == ["91.00 ± 1.41", "50.00 ± 0.00", "90.00 ± 0.00"]
    # differences 0 and 2 points: mean 1, and t_{0.975, 1} = 12.706 times 1.414 / √2 = 1
    assert cells[5].startswith("+1.00 (-11.71 to +13.71)")


def test_freezing_constant_schedules_has_no_cost():
    from asnn.datasets import load_dataset
    from asnn.learning import check_recipe

    torch.manual_seed(0)
    model = create_model("mlp", in_shape=(1, 8, 8), classes=10, features=[8]).eval()
    found = study.accuracies(model, load_dataset("digits", limit=60), check_recipe({}))
    assert found["learned"] == found["frozen"]
