"""Runs whose stamps or times are equal, in another order, or of no calendar."""

import os
import time

import pytest

from asnn.records import create
from asnn.records.create import create_run
from asnn.records.layout import find_run
from asnn.records.record import read_record
from asnn.sweeps import folder as sweep_folder
from asnn.sweeps.definition import Definition
from asnn.sweeps.folder import make_folder

YEAR = 365 * 86400


@pytest.fixture
def frozen(tmp_path, monkeypatch):
    """A clock that stands still, and a folder."""
    monkeypatch.chdir(tmp_path)
    for module in (create, sweep_folder):
        monkeypatch.setattr(module.time, "strftime", lambda form: "20260101-120000")


def begun(path, moment):
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.toml").write_text("[coding]\n")
    (path / "model.safetensors").write_bytes(b"")
    os.utime(path / "config.toml", (moment, moment))


def test_runs_of_one_second_have_folders_of_their_own(frozen):
    assert [create_run(None, "digits").path.name for _ in range(3)] == [
        "digits-20260101-120000",
        "digits-20260101-120000-2",
        "digits-20260101-120000-3",
    ]
    names = [
        make_folder(Definition("digits", {"name": "digits"}), None).path.name for _ in range(2)
    ]
    assert names == ["sweep-digits-20260101-120000", "sweep-digits-20260101-120000-2"]


def test_the_newest_run_is_that_whose_configuration_was_written_last(tmp_path, monkeypatch):
    """By the clock of that moment: names do not count, but among equal times."""
    monkeypatch.chdir(tmp_path)
    now = time.time()
    begun(tmp_path / "runs/z-20990101-000000", now - 10)
    begun(tmp_path / "runs/a-20260101-000000", now)
    assert find_run().path.name == "a-20260101-000000"
    begun(tmp_path / "runs/b-20260101-000000", now)
    assert find_run().path.name == "b-20260101-000000"
    begun(tmp_path / "runs/c-after-the-clock-was-set-back", now - YEAR)
    assert find_run().path.name == "b-20260101-000000"


@pytest.mark.parametrize(
    ("moment", "began"),
    [
        (0, "1970-01-01T00:00:00+00:00"),
        (253402300799, "9999-12-31T23:59:59+00:00"),
        (316516204800, None),  # the year 12000: what a file system with 64 bits can say
    ],
)
def test_a_time_that_no_calendar_has_is_unknown(tmp_path, monkeypatch, moment, began):
    begun(tmp_path / "run", 0)
    monkeypatch.setattr("asnn.records.layout.Run.began", moment)
    assert read_record(create.Run(tmp_path / "run")).as_dict()["began"] == began
