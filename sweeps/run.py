"""Members in processes of their own, several at a time; one that fails stops no other."""

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
from .folder import SweepFolder
from .plan import Member

# -P: a file in the working directory that is called like one of ours' is not imported instead.
WORKER = [sys.executable, "-P", "-m", "asnn.cli.commands.sweep.member"]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
POLL = 0.1  # seconds


class Watcher(Protocol):
    """Who is told how a sweep goes."""

    def member_done(self, member: Member, failure: Failure | None) -> None:
        """A member is trained and evaluated, or has failed."""

    def waiting(self, running: Sequence[Member]) -> None:
        """Called again and again while members are trained."""


@dataclass(frozen=True)
class Failure:
    """Why a member failed: what, why and what to do, as an `AsnnError` says it."""

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
    """Return the threads of each of `jobs` processes: their share of the cores, 1 at the least.

    Who has set OMP_NUM_THREADS gets no more than that.
    """
    share = max(1, cores() // jobs)
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(asked)) if asked.isdecimal() and int(asked) > 0 else share


def run_members(
    members: Iterable[Member],
    folder: SweepFolder,
    split: str,
    watcher: Watcher,
    *,
    jobs: int,
    stop: Callable[[], bool],
    claim: int | None = None,
) -> dict[str, Failure]:
    """Train and evaluate members, `jobs` at a time; return the failures by name.

    Once `stop` is true no other is begun, and those at work are asked to save and stop.

    Args:
        members: those that are not finished; the next is asked for when there is room for it.
        folder: of the sweep.
        split: what they are evaluated on.
        watcher: is told how it goes.
        jobs: number of processes.
        stop: asked ten times a second.
        claim: a descriptor that the processes inherit, see `SweepFolder.lock`.

    Raises:
        AsnnError: a process cannot be started.
    """
    coming, working = iter(members), list[Worker]()
    failures: dict[str, Failure] = {}
    threads, asked, more = threads_each(jobs), False, True
    try:
        while working or (more and not stop()):
            while more and len(working) < jobs and not stop():
                member = next(coming, None)
                more = member is not None
                if member is not None:
                    working.append(_start(member, folder, split, threads, claim))
            if stop() and not asked:
                asked = True
                for worker in working:
                    worker.process.send_signal(signal.SIGTERM)
            for worker in [each for each in working if each.process.poll() is not None]:
                working.remove(worker)
                failure = _outcome(worker)
                if failure is not None and asked:
                    continue  # it was told to stop
                if failure is not None:
                    failures[worker.member.name] = failure
                watcher.member_done(worker.member, failure)
            watcher.waiting([worker.member for worker in working])
            time.sleep(POLL)
    finally:
        for worker in working:  # only where something went wrong here
            worker.process.kill()
            worker.process.communicate()
    return failures


def environment(threads: int) -> dict[str, str]:
    """Return the environment of a process that computes with so many threads."""
    return {**os.environ, **dict.fromkeys(THREADS, str(threads))}


def _start(
    member: Member, folder: SweepFolder, split: str, threads: int, claim: int | None
) -> Worker:
    log = folder.log(member.name)
    order = {
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
                pass_fds=() if claim is None else (claim,),
                # Ctrl-C in a terminal reaches this process alone, which tells the members itself.
                start_new_session=True,
            )
    except OSError as error:
        raise cannot_write(log, error) from error
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(order))
        process.stdin.close()
    except BrokenPipeError:  # it has ended already; how is found out as for any other
        pass
    process.stdin = None
    return Worker(member, process, log)


def _outcome(worker: Worker) -> Failure | None:
    """Return why an ended process failed; None where it did what it should."""
    assert worker.process.stdout is not None
    said = worker.process.stdout.read()
    worker.process.stdout.close()
    code = worker.process.wait()
    if code == 0:
        return None
    try:
        return Failure(**json.loads(said.splitlines()[-1])["error"])
    except (ValueError, IndexError, KeyError, TypeError):
        pass
    how = f"was stopped by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    if code == 130:
        how = "was stopped"
    return Failure(f"its process {how}", _last_line(worker.log), f"see {worker.log}")


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return lines[-1].strip() if lines else ""
