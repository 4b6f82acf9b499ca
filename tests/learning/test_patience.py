"""Early stopping: counted from the best epoch, by stage, and the same after kills."""

import json

import pytest

import asnn
from asnn.core import ConfigError
from asnn.learning import SilentObserver, check_recipe, train
from asnn.learning.checkpoints.resume import former_document
from asnn.learning.methods import method_registry
from asnn.learning.progress import TrainProgress
from asnn.learning.stages import close_stage, early_stop, is_finished, is_out_of_patience
from tests.support.halves import Halves

CHANGES = {
    "train.epochs": 12,
    "train.patience": 2,
    "data.limit": 60,
    "train.batch_size": 20,
    "train.lr": 1e-9,  # nothing is learned: no epoch beats the first for long
    "train.final_lr": 0.0,
    "model.name": "mlp",
    "model.features": [4],
    "train.checkpoint_steps": 1,
}


class Position:
    """What the rules of stages read of a training."""

    def __init__(self, *, patience, epoch, best, stage=0, stage_epoch=None, epochs=(10,)):
        train = type("Train", (), {"patience": patience})
        self.recipe = type("Recipe", (), {"train": train})
        self.stages = [
            type("Stage", (), {"epochs": each, "name": f"{n}"}) for n, each in enumerate(epochs)
        ]
        self.progress = TrainProgress(
            epoch=epoch,
            stage=stage,
            stage_epoch=epoch if stage_epoch is None else stage_epoch,
            best=None if best is None else {"epoch": best},
        )

    @property
    def stage(self):
        return self.stages[min(self.progress.stage, len(self.stages) - 1)]


@pytest.mark.parametrize(
    ("patience", "epoch", "best", "over"),
    [
        (None, 9, 1, False),
        (3, 3, 1, False),
        (3, 4, 1, True),
        (3, 4, 2, False),
        (1, 1, 1, False),
        (1, 2, 1, True),
        (2, 2, 0, True),  # the start, epoch 0, is the best
        (50, 9, 1, False),
    ],
)
def test_patience_counts_the_epochs_since_the_best(patience, epoch, best, over):
    training = Position(patience=patience, epoch=epoch, best=best)
    assert is_out_of_patience(training) == is_finished(training) == over
    found = {"epoch": epoch, "best_epoch": best, "patience": patience}
    assert early_stop(training) == (found if over else None)


def test_a_new_stage_has_patience_of_its_own():
    training = Position(patience=2, epoch=4, best=2, epochs=(9, 3))
    close_stage(training, early=False)
    assert (training.progress.stage, training.progress.stage_epoch) == (1, 0)
    assert not is_out_of_patience(training) and not is_finished(training)


def test_the_last_of_all_epochs_is_no_early_stop():
    assert early_stop(Position(patience=2, epoch=10, best=8)) is None


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    return asnn.train("digits", out=tmp_path_factory.mktemp("stopped") / "run", changes=CHANGES)


def lines(run):
    return [json.loads(line) for line in run.files.metrics.read_text().splitlines()]


def resume(run, **changes):
    document = former_document(run.files)
    document["train"] |= changes
    train(check_recipe(document), run.files, SilentObserver(), resume=True)


def same(one, other):
    return all(
        getattr(one.files, name).read_bytes() == getattr(other.files, name).read_bytes()
        for name in ("model", "metrics")
    )


@pytest.mark.slow
def test_a_training_stops_and_says_when(stopped):
    summary = json.loads(stopped.files.summary.read_text())
    best, epochs = summary["best"]["epoch"], len(lines(stopped))
    assert summary["finished"] and epochs == best + 2 < 12
    assert summary["stopped_early"] == {"epoch": epochs, "best_epoch": best, "patience": 2}


@pytest.mark.slow
@pytest.mark.parametrize("call", [1, 4, 7, 9])
def test_killed_and_resumed_it_stops_after_the_same_epoch(stopped, tmp_path, call):
    calls = iter(range(10_000))
    part = asnn.train(
        "digits", out=tmp_path / "run", changes=CHANGES, stop=lambda: next(calls) >= call
    )
    assert not part.files.finished
    again = asnn.train(resume=part.path)
    assert same(again, stopped)
    assert json.loads(again.files.summary.read_text())["stopped_early"] is not None


@pytest.mark.slow
def test_more_patience_goes_on_as_if_it_had_been_there_from_the_start(stopped, tmp_path):
    whole = asnn.train("digits", out=tmp_path / "whole", changes={**CHANGES, "train.patience": 30})
    assert len(lines(whole)) == 12  # patience > epochs never stops
    assert json.loads(whole.files.summary.read_text())["stopped_early"] is None
    part = asnn.train("digits", out=tmp_path / "part", changes=CHANGES)
    with pytest.raises(ConfigError, match="has stopped early, after epoch .*: train.patience is 2"):
        resume(part, epochs=20)
    assert part.files.finished  # the refusal changed nothing
    with pytest.warns(UserWarning, match="train.patience 2 → 30"):
        resume(part, patience=30)
    assert same(part, whole)


@pytest.mark.slow
def test_each_stage_stops_by_itself(tmp_path, monkeypatch):
    external = {"halves": type("Point", (), {"value": "x", "load": lambda self: Halves})()}
    monkeypatch.setitem(method_registry.__dict__, "_external", external)
    run = asnn.train(
        "digits",
        out=tmp_path / "run",
        changes={**CHANGES, "method.name": "halves", "method.first": 6},
    )
    stages = [line["stage"] for line in lines(run)]
    assert stages[0] == "all" and stages[-1] == "readout"
    assert stages.count("all") < 6 and stages.count("readout") < 6


@pytest.mark.parametrize("value", [0, -1])
def test_no_patience_is_refused(value):
    with pytest.raises(ConfigError, match="train.patience: must be greater than or equal to 1"):
        asnn.train("digits", changes={"train.patience": value})
