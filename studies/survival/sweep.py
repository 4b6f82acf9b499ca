"""Sweeps that are killed, or stopped and continued, at random moments, and end with the same bytes.

    python -m studies.survival.sweep [--interruptions 25] [--seed 0]

runs a sweep of four trainings of the digits, two at a time, once without interruption, then again
and again with interruptions, of each kind in turn: SIGKILL of the sweep with all members, of the
sweep alone, of one member; SIGSTOP of the sweep, of one member, for some seconds, then SIGCONT. A
killed sweep is resumed at once, and a stopped one must not give its lock away. It prints as JSON
the interruptions of each kind, what was torn, and whether weights and metrics of all members are
equal byte for byte to those of the sweep that was not interrupted.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from .files import partial_writes, same_results, torn
from .processes import ASNN, SMALL, call, children, signal_each, start

KINDS = ("kill all", "kill the sweep", "kill a member", "stop the sweep", "stop a member")
GRID = [*SMALL, "--set", "train.epochs=8", "--seeds", "4", "--jobs", "2"]
MEMBERS = [f"seed={seed}" for seed in range(4)]
MAX_SECONDS = 300  # of a sweep


def main() -> None:
    """Interrupt sweeps, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m studies.survival.sweep")
    parser.add_argument("--interruptions", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        random_ = random.Random(options.seed)
        result = interrupted(Path(folder), options.interruptions, random_)
    print(json.dumps(result, indent=2))
    sys.exit(0 if result["fine"] else 1)


def interrupted(folder: Path, interruptions: int, random_: random.Random) -> dict[str, Any]:
    """Return what the interruptions did."""
    steady, sweep, say = folder / "steady", folder / "sweep", folder / "say"
    begin = time.monotonic()
    code, err = call(*ASNN, "sweep", "digits", *GRID, "--out", steady, cwd=folder)
    if code != 0:
        raise SystemExit(f"the sweep that is not interrupted failed:\n{err}")
    duration = time.monotonic() - begin
    done: Counter[str] = Counter()
    faults: list[str] = []
    sweeps = equal = 0
    while done.total() < interruptions or sweep.exists():
        # The same command begins a sweep and resumes it.
        process = start(*ASNN, "sweep", "digits", *GRID, "--out", sweep, cwd=folder, say=say)
        while done.total() < interruptions and process.poll() is None:
            time.sleep(random_.uniform(0, duration / 2))
            kind = KINDS[done.total() % len(KINDS)]
            if not _interrupt(process, kind, random_, folder, sweep, faults):
                continue
            done[kind] += 1
            print(f"{done.total()}: {kind}", file=sys.stderr)
            faults += [f"{kind}: {each} is torn" for run in MEMBERS for each in torn(sweep / run)]
        # A member that was killed is a failure of the sweep, which the next one mends.
        if process.wait(timeout=MAX_SECONDS) not in (0, 1, -signal.SIGKILL):
            faults.append(say.read_text()[-2000:])
            break
        if process.returncode == 0:
            sweeps += 1
            equal += all(same_results(sweep / run, steady / run) for run in MEMBERS)
            faults += [f"left behind: {each}" for each in partial_writes(sweep)]
            shutil.rmtree(sweep)
    return {
        "fine": not faults and equal == sweeps and done.total() >= interruptions,
        "interruptions": dict(done),
        "sweeps": sweeps,
        "equal": equal,
        "faults": faults,
    }


def _interrupt(
    process: subprocess.Popen[bytes],
    kind: str,
    random_: random.Random,
    folder: Path,
    sweep: Path,
    faults: list[str],
) -> bool:
    """Interrupt a sweep; return whether there was anything to interrupt."""
    members = children(process.pid)
    if process.poll() is not None or ("member" in kind and not members):
        return False
    if kind == "kill all":
        signal_each([process.pid, *members])
    elif kind == "kill the sweep":
        signal_each([process.pid])
    elif kind == "kill a member":
        signal_each([random_.choice(members)])
    else:
        stopped = process.pid if kind == "stop the sweep" else random_.choice(members)
        signal_each([stopped], signal.SIGSTOP)
        time.sleep(random_.uniform(0, 3))
        if (sweep / "sweep.toml").exists():
            code, err = call(*ASNN, "sweep", "--resume", sweep, cwd=folder)
            if process.poll() is None and (code, "already running" in err) != (1, True):
                faults.append(f"{kind}: its lock was given away: {err[-500:]}")
        signal_each([stopped], signal.SIGCONT)
    return True


if __name__ == "__main__":
    main()
