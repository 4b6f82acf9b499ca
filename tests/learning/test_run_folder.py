"""The folder of a run when a training begins: locked, writable, and nobody else's."""

import pytest

from asnn.core.errors import AsnnError, ConfigError
from asnn.core.files import require_writable
from asnn.learning import check_recipe, loop
from asnn.learning.loop import train
from asnn.records.create import create_run
from tests.support.trainings import KeepTraining

RECIPE = check_recipe(
    {
        "data": {"name": "digits", "limit": 40},
        "model": {"name": "lenet", "widths": [2, 2], "hidden": 4},
        "train": {"epochs": 1},
    }
)


@pytest.fixture(autouse=True)
def without_curves(monkeypatch):
    monkeypatch.setattr(loop, "draw_curves", lambda *arguments, **options: None)  # the slowest part


def written(run):
    return {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}


def test_a_folder_that_another_training_has_filled_meanwhile_is_refused(tmp_path):
    """Both found it empty; one was stopped until the other had ended."""
    first, second = (create_run(tmp_path / "run", "x") for _ in range(2))
    train(RECIPE, first, KeepTraining())
    before = written(first)
    with pytest.raises(ConfigError, match="run is not empty: a run is never written over another"):
        train(RECIPE, second, KeepTraining())
    assert written(first) == before


def test_without_the_second_look_it_is_trained_over(tmp_path, monkeypatch):
    """Negative control."""
    first, second = (create_run(tmp_path / "run", "x") for _ in range(2))
    train(RECIPE, first, KeepTraining())
    before = written(first)
    monkeypatch.setattr(loop, "require_empty", lambda path: None)
    train(RECIPE, second, KeepTraining())
    assert written(first) != before


def refuse(folder, **options):
    raise AsnnError(f"could not write {folder}", remedy=options["remedy"])


def test_a_resumed_training_tries_to_write_before_it_trains(tmp_path, monkeypatch):
    run = create_run(tmp_path / "run", "x")
    train(RECIPE, run, KeepTraining(), stop=lambda: True)
    before, observer = written(run), KeepTraining()
    monkeypatch.setattr(loop, "require_writable", refuse)
    with pytest.raises(AsnnError, match="could not write") as refused:
        train(RECIPE, run, observer, resume=True)
    assert "copy the folder to where it can be written and resume the copy" in refused.value.remedy
    assert written(run) == before and not observer.names


def test_a_folder_in_which_nothing_can_be_made(tmp_path):
    require_writable(tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    for path in ("file", "missing"):
        with pytest.raises(AsnnError, match=f"could not write .*{path}"):
            require_writable(tmp_path / path)
