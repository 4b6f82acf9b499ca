"""Processes whose `torchrun` is killed; `python -m studies.survival.torchrun` kills it often."""

import os
import signal
import time

import pytest

from asnn.cli.terminal import processes
from studies.survival.processes import SMALL, alive, children
from tests.cli.commands.test_train_processes import pytestmark as pytestmark
from tests.cli.commands.test_train_processes import torchrun, wait_for

OPTIONS = [*SMALL, "--set", "train.epochs=300", "--set", "data.limit=200"]


@pytest.mark.slow
def test_processes_that_torchrun_leaves_behind_save_and_stop(tmp_path):
    process = torchrun(2, "train", *OPTIONS, "--out", "run", cwd=tmp_path)
    wait_for(tmp_path / "run/metrics.jsonl")
    ranks = children(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while any(map(alive, ranks)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    _, err = process.communicate()
    assert "saved; resume with: asnn train --resume run" in err
    assert (tmp_path / "run/checkpoints/latest").exists()
    assert not (tmp_path / "run/curves.png").exists()  # it was not trained to its end


def test_a_process_is_an_orphan_only_of_torchrun(monkeypatch):
    """Negative control: a shell that starts processes itself may end before them."""
    monkeypatch.setattr(processes, "PARENT", os.getppid())
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    assert not processes.is_orphan()
    monkeypatch.setattr(processes, "PARENT", 2**30)
    assert processes.is_orphan()
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    assert not processes.is_orphan()
