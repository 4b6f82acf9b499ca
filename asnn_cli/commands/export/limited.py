"""A command in a process of its own, with limits on memory and time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

from ....core.errors import DataError

MEMORY = 8 << 30  # bytes that it may write to
SECONDS = 600  # of processor time, and as many beyond that of a clock
INSIDE = "ASNN_INSIDE_LIMITS"


def is_inside() -> bool:
    """Return whether this process is the one with limits."""
    return INSIDE in os.environ


def run_limited(arguments: list[str]) -> int:
    """Run `asnn` with arguments in a process with limits, and return its exit code.

    Raises:
        DataError: it needed more than the limits.
    """
    command = [sys.executable, "-m", "asnn.cli", *arguments]
    environment = {**os.environ, INSIDE: "1"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, timeout=2 * SECONDS, preexec_fn=_limit
        )
    except subprocess.TimeoutExpired:
        raise _beyond(f"{2 * SECONDS} seconds") from None
    if done.returncode == -signal.SIGXCPU or done.returncode == -signal.SIGKILL:
        raise _beyond(f"{SECONDS} seconds of processor time, or {MEMORY >> 30} GiB")
    sys.stdout.write(done.stdout.decode("utf-8", "replace"))
    sys.stderr.write(done.stderr.decode("utf-8", "replace"))
    if done.returncode < 0:
        raise _beyond(f"{MEMORY >> 30} GiB of memory")
    return done.returncode


def _limit() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _beyond(limit: str) -> DataError:
    return DataError(
        "the file was stopped",
        why=f"running it takes more than {limit}",
        remedy="check a file that asnn wrote",
    )
