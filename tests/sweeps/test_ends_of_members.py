"""How the processes of members end: when the sweep fails, and when their log cannot be written."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from asnn.sweeps import pool
from asnn.sweeps.folder import SweepFolder
from asnn.sweeps.plan import Member

# Writes `begun`; on SIGTERM it needs a moment to save, if it saves at all.
WORKER = """
import json, pathlib, signal, sys, time
run = pathlib.Path(json.load(sys.stdin)["run"])
def save(number, frame):
    time.sleep(0.3)
    run.with_suffix(".saved").touch()
    sys.exit(130)
signal.signal(signal.SIGTERM, save if sys.argv[1] == "saves" else signal.SIG_IGN)
run.with_suffix(".begun").touch()
time.sleep(60)
"""


@dataclass
class Recipe:
    def document(self):
        return {}


class FullDisk:
    """An observer that fails once the member has begun."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def member_done(self, member, failure):
        raise AssertionError

    def waiting(self, running):
        if list(self.folder.glob("*.begun")):
            raise OSError("No space left on device")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "saved"), [("saves", True), ("hangs", False)])
def test_an_error_of_the_sweep_lets_its_members_save(tmp_path, monkeypatch, kind, saved):
    monkeypatch.setattr(pool, "WORKER", [sys.executable, "-S", "-c", WORKER, kind])
    monkeypatch.setattr(pool, "MAX_STOP_SECONDS", 20.0 if saved else 0.2)
    begin = time.monotonic()
    with pytest.raises(OSError, match="No space left"):
        pool.run_members(
            [Member("m", 0, (), Recipe())],
            SweepFolder(tmp_path),
            "test",
            FullDisk(tmp_path),
            jobs=1,
            stop=lambda: False,
        )
    assert (tmp_path / "m.saved").exists() is saved
    assert time.monotonic() - begin < 20


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="writes to a full device")
def test_the_reason_of_a_failure_is_reported_where_the_log_is_full():
    task = {"run": "x", "recipe": {"train": {"lr": -1}}, "split": "test", "threads": 1, "parent": 0}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            pool.WORKER, input=json.dumps(task), stdout=subprocess.PIPE, stderr=full, text=True
        )
    assert "train.lr" in json.loads(done.stdout)["error"]["why"], done
    assert done.returncode == 2
