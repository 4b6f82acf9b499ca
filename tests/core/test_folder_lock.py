"""A locked folder refuses a second process; the lock ends with its process."""

import os
import subprocess
import sys
import time

import pytest

from asnn.core.errors import AsnnError
from asnn.core.folder_lock import folder_lock, is_free

pytest.importorskip("fcntl")


def test_a_second_lock_is_refused_until_the_first_ends(tmp_path):
    with folder_lock(tmp_path, "a training", "two at once would write over each other") as held:
        assert held is not None
        with (
            pytest.raises(AsnnError, match="a sweep is already running in") as caught,
            folder_lock(tmp_path, "a sweep", "one at a time"),
        ):
            pass
        assert (caught.value.why, caught.value.remedy) == (
            "one at a time",
            "wait for it, or stop it",
        )
    with folder_lock(tmp_path, "a training", "one at a time") as held:
        assert held is not None


def test_a_forked_child_does_not_keep_the_lock(tmp_path):
    with folder_lock(tmp_path, "a training", "one at a time") as held:
        child = os.fork()
        if child == 0:
            try:
                os.fstat(held)
            except OSError:
                os._exit(0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_missing_folder_is_not_locked(tmp_path):
    with folder_lock(tmp_path / "missing", "a training", "one at a time") as held:
        assert held is None


KILLED = """
import os, signal, subprocess, sys
from pathlib import Path
from asnn.core.folder_lock import folder_lock
folder = Path(sys.argv[1])
with folder_lock(folder, "a sweep", "", inheritable=True, own=folder / "own") as held:
    child = subprocess.Popen(["sleep", sys.argv[2]], pass_fds=(held,), stdout=-3, stderr=-3)
    print(child.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def orphan(folder, seconds):
    """Lock the folder in a process that dies, with a child that holds the lock for a while."""
    command = [sys.executable, "-c", KILLED, str(folder), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == -9, done.stderr
    return int(done.stdout)


@pytest.mark.slow
def test_children_of_a_killed_process_are_waited_for(tmp_path):
    own = tmp_path / "own"
    own.touch()
    orphan(tmp_path, 1.5)
    assert is_free(own)
    with pytest.raises(AsnnError, match="already running"), folder_lock(tmp_path, "a sweep", ""):
        pass
    begin = time.monotonic()
    with folder_lock(tmp_path, "a sweep", "", own=own, patience=30) as held:
        assert held is not None and 0.1 < time.monotonic() - begin < 20
        assert not is_free(own)  # its owner lives
        begin = time.monotonic()
        with (
            pytest.raises(AsnnError, match="already running"),
            folder_lock(tmp_path, "a sweep", "", own=own, patience=30),
        ):
            pass
        assert time.monotonic() - begin < 5  # for a process that lives, no one waits
    assert is_free(own)
