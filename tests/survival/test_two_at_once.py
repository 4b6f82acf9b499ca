"""Two trainings, or two sweeps, in one folder at once: one works, the other is refused.

With ASNN_LONG=1 each pair is started twenty times; without, twice.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.survival.test_kills import SMALL, same

TRIES = 20 if os.environ.get("ASNN_LONG") == "1" else 2
TINY = [*SMALL, "--set", "data.limit=160"]
NEW = ["train", "digits", *TINY, "--out", "run"]
RESUMED = ["train", "--resume", "run"]
SWEEP = ["sweep", "digits", *TINY, "--set", "train.epochs=36", "--seeds", "2,3", "--jobs", "1"]
SWEEP += ["--out", "sweep"]  # longer than a slow start of the second
RUNNING = "a training is already running in run"


def both(warm, folder: Path, *commands: list[str]) -> list[tuple[int, str]]:
    """Start commands at the same moment; return the exit code and stderr of each."""
    processes = [
        subprocess.Popen(
            [warm.asnn, *command],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    errs = [process.communicate(timeout=120)[1] for process in processes]
    return [(each.returncode, err) for each, err in zip(processes, errs, strict=True)]


@pytest.fixture(scope="module")
def alone(warm, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    ((code, err),) = both(warm, folder, NEW)
    assert code == 0, err
    return folder / "run"


@pytest.mark.slow
def test_two_new_trainings(warm, alone, tmp_path):
    for _ in range(TRIES):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        (code, _), refused = sorted(both(warm, tmp_path, NEW, NEW))
        assert code == 0
        # The second where the first has written something before the second looks.
        assert (refused[0], RUNNING in refused[1]) == (1, True) or (
            (refused[0], "run is not empty" in refused[1]) == (2, True)
        ), refused
        assert same(tmp_path / "run", alone)


@pytest.mark.slow
def test_a_new_training_and_one_that_resumes(warm, alone, tmp_path):
    for _ in range(TRIES):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        (code, err), refused = both(warm, tmp_path, NEW, RESUMED)
        assert code == 0, err
        assert (refused[0], RUNNING in refused[1]) == (1, True) or (
            (refused[0], "run is not a run" in refused[1]) == (4, True)
        ), refused
        assert same(tmp_path / "run", alone)


@pytest.mark.slow
def test_two_that_resume(warm, alone, tmp_path):
    for _ in range(TRIES):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        (tmp_path / "run").mkdir()
        shutil.copy(alone / "config.toml", tmp_path / "run")
        (code, _), refused = sorted(both(warm, tmp_path, RESUMED, RESUMED))
        assert code == 0 and refused[0] == 1 and RUNNING in refused[1], refused
        assert same(tmp_path / "run", alone)


@pytest.mark.slow
def test_two_sweeps(warm, tmp_path):
    for _ in range(TRIES // 2):
        shutil.rmtree(tmp_path / "sweep", ignore_errors=True)
        (code, _), refused = sorted(both(warm, tmp_path, SWEEP, SWEEP))
        assert code == 0
        running = "a sweep is already running in sweep" in refused[1]
        assert (refused[0], running) == (1, True), refused
        for seed in (2, 3):
            assert (tmp_path / f"sweep/seed={seed}/evaluation.json").exists()
