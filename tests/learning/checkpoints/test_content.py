"""The progress in a checkpoint has the field names of version 0.1.0; weights fit the network."""

import io

import pytest
import torch
from safetensors.torch import save

from asnn.learning import check_recipe, prepare, train
from asnn.learning.checkpoints import content
from asnn.learning.checkpoints.content import STATE, Checkpoint, _load, newest_checkpoint, restore
from asnn.records.layout import Run
from tests.support.trainings import KeepTraining, StopAfter

RECIPE = check_recipe(
    {
        "data": {"limit": 100},
        "model": {"name": "mlp", "features": [8]},
        "train": {"epochs": 1, "batch_size": 25, "device": "cpu"},
    }
)
NAMES = {
    *("epoch", "stage", "stage_epoch", "stage_step", "batch", "step", "loss", "correct", "seen"),
    *("seconds", "open_seconds", "waited", "best", "history", "times"),
    *("statistics", "statistic_sums"),
}


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A run that was stopped after 2 of 4 batches, and its training."""
    run, observer = Run(tmp_path_factory.mktemp("run")), KeepTraining()
    assert train(RECIPE, run, observer, stop=StopAfter(2)) is None
    return run, observer.training


def restored(checkpoint, position, path):
    """The progress of a new training after restoring the checkpoint with another position."""
    training = prepare(RECIPE, Run(path))
    state = {**checkpoint.content, "position": position}
    restore(training, Checkpoint(checkpoint.folder, state, checkpoint.files))
    return training.progress


def test_written_names(interrupted):
    run, _ = interrupted
    stored = (run.checkpoints / "step-2" / STATE).read_bytes()
    assert torch.load(io.BytesIO(stored), weights_only=True)["position"].keys() == NAMES


def test_all_fields_are_restored(interrupted, tmp_path):
    run, training = interrupted
    checkpoint = newest_checkpoint(run)
    position = checkpoint.content["position"]
    assert position["open_seconds"] > 0 and position["batch"] == 2
    assert restored(checkpoint, position, tmp_path) == training.progress


def test_names_of_0_1_are_read(interrupted, tmp_path, monkeypatch):
    checkpoint = newest_checkpoint(interrupted[0])
    position = {**checkpoint.content["position"], "open_seconds": 12.5, "waited": 3.25}
    progress = restored(checkpoint, position, tmp_path)
    assert (progress.epoch_seconds, progress.data_wait_seconds) == (12.5, 3.25)
    # The negative control: without the table of names both are lost.
    monkeypatch.setattr(content, "STORED_NAMES", {})
    progress = restored(checkpoint, position, tmp_path)
    assert (progress.epoch_seconds, progress.data_wait_seconds) == (0, 0)


def test_a_checkpoint_of_before_there_were_stages_goes_on(interrupted, tmp_path):
    """Format 2 of an earlier version: no stage in the position, and nothing of a method."""
    run, training = interrupted
    checkpoint = newest_checkpoint(run)
    position = dict(checkpoint.content["position"])
    for name in ("stage", "stage_epoch", "stage_step", "statistics", "statistic_sums"):
        del position[name]
    old = {key: checkpoint.content[key] for key in checkpoint.content.keys() - {"method", "begun"}}
    older = Checkpoint(checkpoint.folder, {**old, "position": position}, checkpoint.files)
    again = prepare(RECIPE, Run(tmp_path))
    restore(again, older)
    assert again.progress == training.progress
    assert (again.progress.stage, again.progress.stage_step) == (0, 2)
    expected, found = training.optimizer.state_dict(), again.optimizer.state_dict()
    for index, entry in expected["state"].items():
        for name, value in entry.items():
            assert torch.equal(value, found["state"][index][name])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda value: value.to(torch.float64), "has the type torch.float64, not torch.float32"),
        (lambda value: torch.full_like(value, torch.nan), "not finite"),
        (lambda value: value[None], "size mismatch"),
    ],
)
def test_weights_that_are_not_those_of_the_network(change, why):
    model = torch.nn.Linear(2, 3)
    before = model.weight.detach().clone()
    good = {"weight": torch.ones(3, 2), "bias": torch.ones(3)}
    with pytest.raises((ValueError, RuntimeError), match=why):
        _load(model, save({**good, "weight": change(good["weight"])}))
    assert torch.equal(model.weight, before)
    _load(model, save(good))
    assert torch.equal(model.weight, good["weight"])
