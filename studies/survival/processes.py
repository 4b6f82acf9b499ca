"""Processes of the experiments: started, found below their parent, and signalled."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

PYTHON = [sys.executable, "-P"]
ASNN = [*PYTHON, "-m", "asnn.cli"]
SMALL = [
    *("--set", "model.widths=[4,8]", "--set", "model.hidden=16"),
    *("--set", "train.checkpoint_steps=5", "--set", "train.workers=0"),
    *("--set", "train.ema=0.9", "--set", "augment.mixup=true"),
]
POLL = 0.05  # seconds


def start(*words: object, cwd: Path, say: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own, with one thread.

    Args:
        words: of the command line.
        cwd: its folder.
        say: a file to which its stderr is appended; None drops it.
    """
    with open(say or os.devnull, "ab") as err:
        return subprocess.Popen(
            [str(word) for word in words],
            cwd=cwd,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=err,
            start_new_session=True,
        )


def call(*words: object, cwd: Path, timeout: float = 300) -> tuple[int, str]:
    """Run a program to its end; return its exit code and its stderr."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=timeout,
    )
    return done.returncode, done.stderr.decode(errors="replace")


def children(parent: int) -> list[int]:
    """Return the processes that a process has started and that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return sorted(found)


def signal_each(processes: Iterable[int], number: int = signal.SIGKILL) -> None:
    """Send a signal to processes, some of which may have ended."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def alive(process: int) -> bool:
    """Return whether a process has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float) -> float | None:
    """Return after how many seconds a condition was true; None if it was not in time."""
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        if condition():
            return time.monotonic() - begin
        time.sleep(POLL)
    return None
