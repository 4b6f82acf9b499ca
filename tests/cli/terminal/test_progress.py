"""Progress without a terminal: a line an epoch, and one a minute within an epoch."""

import re

import pytest

import asnn
from asnn.cli.terminal.progress import Progress

SMALL = {
    "data.limit": 80,
    "model.name": "mlp",
    "model.features": [4],
    "train.batch_size": 8,  # ten batches an epoch
    "train.epochs": 2,
}


class Clock:
    """Each look at it takes some seconds."""

    def __init__(self, seconds):
        self.seconds, self.now = seconds, 0.0

    def __call__(self):
        self.now += self.seconds
        return self.now


def lines_with(clock, tmp_path, capsys, **changes):
    with Progress(clock=clock) as progress:
        asnn.train("digits", out=tmp_path / "run", changes={**SMALL, **changes}, observer=progress)
    return capsys.readouterr().err.splitlines()


@pytest.mark.slow
def test_a_long_epoch_has_a_line_a_minute_with_the_time_left(tmp_path, capsys):
    lines = lines_with(Clock(15), tmp_path, capsys)
    batches = [line for line in lines if "batch" in line]
    # The clock is looked at once a batch: a minute is four of them.
    found = [re.match(r"epoch (\d)/2  batch (\d+)/10  loss ", line) for line in batches]
    assert [each and each.groups() for each in found] == [
        ("1", "4"), ("1", "8"), ("2", "4"), ("2", "8"),
    ]  # fmt: skip
    # 4 steps of 15 s are done and 16 are left; 8 and 12; an epoch of 11 looks, 4 more and 6.
    left = [re.search(r"samples/s  (.*) left$", line)[1] for line in batches]
    assert left[:2] == ["4 min 00 s", "3 min 00 s"]
    assert len([line for line in lines if re.match(r"epoch \d/2  loss", line)]) == 2


@pytest.mark.slow
def test_short_epochs_have_one_line(tmp_path, capsys):
    assert not [line for line in lines_with(Clock(1), tmp_path, capsys) if "batch" in line]


@pytest.mark.slow
def test_an_early_stop_is_said_and_patience_that_cannot_be_reached(tmp_path, capsys):
    stopped = lines_with(
        Clock(1), tmp_path / "a", capsys,
        **{"train.patience": 1, "train.epochs": 30, "train.lr": 1e-9},
    )  # fmt: skip
    assert re.match(
        r"stopped early: no epoch after \d+ was better \(train.patience = 1\)", stopped[-1]
    )
    never = lines_with(Clock(1), tmp_path / "b", capsys, **{"train.patience": 2})
    assert "train.patience = 2 never stops a training of 2 epochs" in never
    assert not [line for line in never if line.startswith("stopped early")]


@pytest.mark.slow
def test_frozen_parameters_are_counted(tmp_path, capsys):
    lines = lines_with(Clock(1), tmp_path, capsys, **{"train.freeze": "linear1"})
    frozen = [line for line in lines if line.startswith("frozen: ")]
    assert len(frozen) == 1 and frozen[0].endswith(" of them, in linear1"), lines
