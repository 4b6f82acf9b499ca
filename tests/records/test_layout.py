"""Finding runs."""

import json
import os
from pathlib import Path

import pytest

from asnn.core.errors import DataError
from asnn.records.layout import find_run, list_runs, with_runs_of_sweeps


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(name, *, age, finished=True, trained=True):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "config.toml").touch()
        os.utime(folder / "config.toml", (1e9 - age, 1e9 - age))
        if finished is not None:
            (folder / "summary.json").write_text(json.dumps({"finished": finished}))
        if trained:
            (folder / "model.safetensors").touch()
        return folder

    return make


def test_the_newest_trained_run(runs):
    runs("old", age=9)
    runs("new", age=1)
    runs("empty", age=0, finished=None, trained=False)
    assert find_run().path.name == "new"
    assert find_run("runs/latest").path.name == "new"
    assert find_run("runs/old").path.name == "old"


def test_the_newest_unfinished_run(runs):
    runs("done", age=0)
    runs("half", age=5, finished=False)
    runs("begun", age=3, finished=None, trained=False)
    assert find_run(unfinished=True).path.name == "begun"


def test_a_run_that_is_not_there_names_those_that_are(runs):
    runs("a", age=0)
    with pytest.raises(DataError, match="runs/b is not a run: it is missing") as caught:
        find_run("runs/b")
    assert caught.value.remedy == "give the path of a run, such as runs/a"
    with pytest.raises(DataError, match="it holds no config.toml"):
        find_run("runs")


def test_a_sweep_leads_to_what_takes_it(runs, tmp_path):
    for name in ("b", "a"):
        runs(f"s/{name}", age=0)
    sweep = tmp_path / "runs" / "s"
    (sweep / "logs").mkdir()
    for name in ("sweep.toml", "results.json", "results.md"):
        (sweep / name).touch()
    with pytest.raises(DataError, match="runs/s is a sweep, not a run: it holds 2 runs") as caught:
        find_run("runs/s")
    assert "such as runs/s/a;" in caught.value.remedy
    assert "`asnn report runs/s`" in caught.value.remedy
    assert "`asnn sweep --resume runs/s` resumes it" in caught.value.remedy
    members = [Path("runs/s/a"), Path("runs/s/b")]
    assert with_runs_of_sweeps([Path("runs/s")]) == members
    assert with_runs_of_sweeps(sorted(Path("runs/s").iterdir())) == members
    # The control: a path that is missing, or in no sweep, stays, and is refused later.
    others = [Path("runs/s/c"), Path("runs")]
    assert with_runs_of_sweeps(others) == others
    (sweep / "sweep.toml").unlink()
    with pytest.raises(DataError, match="runs/s is not a run"):
        find_run("runs/s")


def test_a_sweep_without_a_trained_run_leads_to_its_resume(runs, tmp_path):
    runs("s/a", age=0, finished=None, trained=False)
    (tmp_path / "runs" / "s" / "sweep.toml").touch()
    with pytest.raises(DataError, match="has no trained run") as caught:
        with_runs_of_sweeps([Path("runs/s")])
    assert "resume it: asnn sweep --resume runs/s" in caught.value.remedy


def test_files_of_a_sweep_are_no_runs(runs, tmp_path):
    runs("s/a", age=0)
    sweep = tmp_path / "runs" / "s"
    (sweep / "logs").mkdir()
    for name in ("sweep.toml", "results.md"):
        (sweep / name).touch()
    for name, kind in (("sweep.toml", "file"), ("logs", "folder")):
        with pytest.raises(DataError, match=f"runs/s/{name} is not a run") as caught:
            with_runs_of_sweeps([Path("runs/s") / name, Path("runs/s/results.md")])
        assert caught.value.why == f"it is a {kind} of the sweep runs/s"
        assert caught.value.remedy == "give the sweep: asnn report runs/s"
    # The control: beside a run they are left out.
    beside = [Path("runs/s/sweep.toml"), Path("runs/s/a")]
    assert with_runs_of_sweeps(beside) == [Path("runs/s/a")]


@pytest.mark.parametrize(
    ("name", "file", "is_member"),
    [
        ("train.lr=0.1,seed=0", "", True),
        ("trial-0001", "", True),
        ("b", "metrics.jsonl", True),
        ("b", "model.safetensors", True),
        ("pictures", "a.png", False),
    ],
)
def test_a_damaged_member_of_a_sweep_stays_and_is_refused(runs, tmp_path, name, file, is_member):
    runs("s/a", age=0)
    sweep = tmp_path / "runs" / "s"
    (sweep / "sweep.toml").touch()
    (sweep / name).mkdir()
    if file:
        (sweep / name / file).touch()
    member = [Path("runs/s") / name] if is_member else []
    assert with_runs_of_sweeps([Path("runs/s/a"), Path("runs/s") / name]) == [
        Path("runs/s/a"),
        *member,
    ]
    for path in member:
        with pytest.raises(DataError, match="it holds no config.toml"):
            find_run(path)


def test_a_summary_that_is_damaged_is_not_a_finished_run(runs):
    folder = runs("a", age=0)
    (folder / "summary.json").write_text("{")
    assert find_run(unfinished=True).path == find_run("runs/a").path


def test_a_config_of_another_program_is_no_run(runs, tmp_path):
    runs("mine", age=9, finished=False)
    site = tmp_path / "runs" / "site"
    (site / "content").mkdir(parents=True)
    (site / "config.toml").write_text('title = "my site"\n[params]\nsteps = 3\n')
    assert find_run(unfinished=True).path.name == "mine"
    assert [run.path.name for run in list_runs("runs")] == ["mine"]
    with pytest.raises(DataError, match="runs/site is not a run") as caught:
        find_run("runs/site")
    assert caught.value.why == "its config.toml is not that of a run"
    assert caught.value.remedy == "give the path of a run, such as runs/mine"
    # The control: the same file of asnn is newer, and is taken; a damaged one is listed too.
    (site / "config.toml").write_text("[coding]\nsteps = 3\n")
    assert find_run(unfinished=True).path.name == "site"
    (site / "config.toml").write_text("[coding")
    assert [run.path.name for run in list_runs("runs")] == ["mine", "site"]


def test_runs_below_a_folder_of_another_program_are_found(runs, tmp_path):
    runs("site/a", age=1)
    (tmp_path / "runs/site/config.toml").write_text('title = "my site"\n')
    assert [str(run.path) for run in list_runs("runs")] == ["runs/site/a"]


def test_name_of_a_recipe_leads_to_its_newest_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("digits-20260101-000000", "digits-20260102-000000", "pictures-20260103-000000"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "config.toml").write_text("[coding]\nsteps = 3\n")
    with pytest.raises(DataError) as caught:
        find_run("digits")
    assert caught.value.remedy.endswith("such as runs/digits-20260102-000000")
