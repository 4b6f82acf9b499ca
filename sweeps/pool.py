"""The pool of processes that train members; a failure does not stop the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..core.files import cannot_write
from ..core.reading import read_regular
from .folder import SweepFolder
from .plan import Member

# -P: do not import modules from the working directory.
WORKER = [sys.executable, "-P", "-m", "asnn.cli.commands.sweep.member"]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
POLL = 0.1  # seconds
MAX_STOP_SECONDS = 30.0  # for members to save after an error of the sweep itself


class SweepObserver(Protocol):
    """Observer of a sweep."""

    def member_done(self, member: Member, failure: Failure | None) -> None:
        """Called when a member is finished or has failed."""

    def waiting(self, running: Sequence[Member]) -> None:
        """Called several times a second while members are trained."""


@dataclass(frozen=True)
class Failure:
    """The failure of a member: what, why and what to do, like an `AsnnError`."""

    what: str
    why: str = ""
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return plain values, for JSON."""
        return {"what": self.what, "why": self.why, "remedy": self.remedy}


@dataclass
class Worker:
    """A process that trains a member."""

    member: Member
    process: subprocess.Popen[str]
    log: Path


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_each(jobs: int) -> int:
    """Return the threads of each of `jobs` processes: its share of the cores, at least 1.

    OMP_NUM_THREADS is an upper limit.
    """
    share = max(1, cores() // jobs)
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(limit)) if limit.isdecimal() and int(limit) > 0 else share


def run_members(
    members: Iterable[Member],
    folder: SweepFolder,
    split: str,
    observer: SweepObserver,
    *,
    jobs: int,
    stop: Callable[[], bool],
    lock_fd: int | None = None,
) -> dict[str, Failure]:
    """Train and evaluate members, `jobs` at a time; return the failures by name.

    Once `stop` is true no member is started, and running ones are asked to save and stop.

    Args:
        members: not finished; the next one is taken when a process is free.
        folder: of the sweep.
        split: on which they are evaluated.
        observer: of the sweep.
        jobs: number of processes.
        stop: called ten times a second.
        lock_fd: a descriptor that the processes inherit, see `SweepFolder.lock`.

    Raises:
        AsnnError: a process cannot be started.
    """
    queue, working = iter(members), list[Worker]()
    failures: dict[str, Failure] = {}
    threads, stop_sent, more = threads_each(jobs), False, True
    try:
        while working or (more and not stop()):
            while more and len(working) < jobs and not stop():
                member = next(queue, None)
                more = member is not None
                if member is not None:
                    working.append(_start(member, folder, split, threads, lock_fd))
            if stop() and not stop_sent:
                stop_sent = True
                for worker in working:
                    worker.process.send_signal(signal.SIGTERM)
            for worker in [each for each in working if each.process.poll() is not None]:
                working.remove(worker)
                failure = _outcome(worker)
                if failure is not None and stop_sent:
                    continue  # because it was stopped
                if failure is not None:
                    failures[worker.member.name] = failure
                observer.member_done(worker.member, failure)
            observer.waiting([worker.member for worker in working])
            time.sleep(POLL)
    finally:
        _stop(working)  # only after an error in this process
    return failures


def _stop(working: Sequence[Worker]) -> None:
    """Let members save and stop; end those that do not."""
    for worker in working:
        worker.process.terminate()
    end = time.monotonic() + MAX_STOP_SECONDS
    for worker in working:
        try:
            worker.process.communicate(timeout=max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.communicate()


def environment(threads: int) -> dict[str, str]:
    """Return the environment variables of a process with `threads` threads."""
    return {**os.environ, **dict.fromkeys(THREADS, str(threads))}


def _start(
    member: Member, folder: SweepFolder, split: str, threads: int, lock_fd: int | None
) -> Worker:
    log = folder.log(member.name)
    task = {
        "run": str(folder.run(member.name).path),
        "recipe": member.recipe.document(),
        "split": split,
        "threads": threads,
        "parent": os.getpid(),
    }
    try:
        log.parent.mkdir(exist_ok=True)
        with open(log, "a", encoding="utf-8") as errors:
            process = subprocess.Popen(
                WORKER,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment(threads),
                pass_fds=() if lock_fd is None else (lock_fd,),
                # Ctrl-C in a terminal reaches only this process, which stops the members itself.
                start_new_session=True,
            )
    except OSError as error:
        raise cannot_write(log, error) from error
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(task))
        process.stdin.close()
    except BrokenPipeError:  # it has ended already; `_outcome` finds the reason
        pass
    process.stdin = None
    return Worker(member, process, log)


def _outcome(worker: Worker) -> Failure | None:
    """Return why an ended process failed; None if it succeeded."""
    assert worker.process.stdout is not None
    output = worker.process.stdout.read()
    worker.process.stdout.close()
    code = worker.process.wait()
    if code == 0:
        return None
    try:
        return Failure(**json.loads(output.splitlines()[-1])["error"])
    except (ValueError, IndexError, KeyError, TypeError):
        pass
    ending = f"was stopped by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    if code == 130:
        ending = "was stopped"
    return Failure(f"its process {ending}", _last_line(worker.log), f"see {worker.log}")


def _last_line(log: Path) -> str:
    try:
        lines = read_regular(log).decode(errors="replace").splitlines()
    except (OSError, ValueError):
        return ""
    return lines[-1].strip() if lines else ""
