"""A training that SIGSTOP halts and SIGCONT continues, as a debugger or a full machine does.

With ASNN_LONG=1 it is stopped twenty times, for up to three seconds; without, three times.
`python -m studies.survival.sweep` does it to sweeps and their members.
"""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.survival.test_kills import SMALL, same
from tests.survival.test_writing import PROC, forked

LONG = os.environ.get("ASNN_LONG") == "1"
STOPS, PAUSE = (20, 3.0) if LONG else (3, 0.3)
RECIPE = ["digits", *SMALL, "--set", "train.epochs=6", "--set", "data.limit=320"]


def train(warm, folder: Path, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [warm.asnn, "train", *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def second(warm, folder: Path) -> tuple[int, str]:
    """Resume the run in a folder that is not the working directory of the first."""
    process = train(warm, folder, "--resume", "first/run")
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def begin(warm, folder: Path) -> tuple[subprocess.Popen, int]:
    """Start a training; return it and the process that trains, which has locked its folder."""
    folder.mkdir()
    process = train(warm, folder, *RECIPE, "--out", "run")
    deadline = time.monotonic() + 60
    while not (folder / "run/config.toml").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process, forked(process, folder)


@pytest.mark.slow
@PROC
def test_a_stopped_training_keeps_its_lock_and_ends_with_the_same_bytes(warm, tmp_path):
    whole = train(warm, tmp_path, *RECIPE, "--out", "whole")
    _, err = whole.communicate(timeout=120)
    assert whole.returncode == 0, err
    random_, stops = random.Random(0), 0
    while stops < STOPS:
        process, trainer = begin(warm, tmp_path / "first")
        while stops < STOPS and process.poll() is None:
            try:
                os.kill(trainer, signal.SIGSTOP)
            except ProcessLookupError:
                break
            stops += 1
            time.sleep(random_.uniform(0, PAUSE))
            if stops == 1:
                code, err = second(warm, tmp_path)
                assert code == 1 and "a training is already running in first/run" in err, err
            os.kill(trainer, signal.SIGCONT)
            time.sleep(random_.uniform(0, 0.5))
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert same(tmp_path / "first/run", tmp_path / "whole")
        (tmp_path / "first").rename(tmp_path / f"ended-{stops}")


@pytest.mark.slow
@PROC
def test_the_lock_of_a_killed_training_is_free(warm, tmp_path):
    """Negative control: the lock belongs to the process, not to a file that it leaves."""
    process, trainer = begin(warm, tmp_path / "first")
    os.kill(trainer, signal.SIGKILL)
    process.wait(timeout=60)
    code, err = second(warm, tmp_path)
    assert code == 0, err
