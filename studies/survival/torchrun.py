"""Trainings of several processes that are killed at random moments, and resumed to the same bytes.

    python -m studies.survival.torchrun [--processes 2] [--kills 20] [--seed 0]

trains the digits with `torchrun` once without interruption, then again and again with kills by
SIGKILL, of each kind in turn: of torchrun with all processes, of one of the processes, of torchrun
alone. A killed run is resumed, and compared when it is finished. The kills come at random moments
of the training, one in five while the processes start. It prints as JSON the kills of each kind,
the runs that they fell into, the seconds until all processes had ended, what was torn, and whether
weights and metrics are equal byte for byte to those of the run that was not killed.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from .files import partial_writes, same_results, torn
from .processes import PYTHON, SMALL, alive, children, signal_each, start, wait_until

KINDS = ("all", "one process", "torchrun")
EPOCHS = ["--set", "train.epochs=12", "--set", "train.batch_size=64"]
MAX_SECONDS = 120  # until all processes have ended after a kill; until they have started


def main() -> None:
    """Kill and resume trainings, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m studies.survival.torchrun")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        random_ = random.Random(options.seed)
        result = killed_and_resumed(Path(folder), options.processes, options.kills, random_)
    print(json.dumps(result, indent=2))
    sys.exit(0 if result["fine"] else 1)


def killed_and_resumed(
    folder: Path, count: int, kills: int, random_: random.Random
) -> dict[str, Any]:
    """Return what the kills did."""
    steady, killed, say = folder / "steady", folder / "killed", folder / "say"
    process = _torchrun(folder, say, count, "digits", *SMALL, *EPOCHS, "--out", steady)
    _wait_for_training(process, say)
    begin = time.monotonic()
    if process.wait() != 0:
        raise SystemExit(f"the training that is not killed failed:\n{say.read_text()}")
    duration = time.monotonic() - begin
    done: Counter[str] = Counter()
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    faults: list[str] = []
    runs = equal = 0
    while done.total() < kills or killed.exists():
        resumed = (killed / "config.toml").exists()
        if killed.exists() and not resumed:  # killed before there was anything to resume
            shutil.rmtree(killed)
        words = ["--resume", killed] if resumed else ["digits", *SMALL, *EPOCHS, "--out", killed]
        say.unlink()
        process = _torchrun(folder, say, count, *words)
        if done.total() < kills:
            kind = KINDS[done.total() % len(KINDS)]
            if random_.random() < 0.2:
                time.sleep(random_.uniform(0, 6))
            else:
                _wait_for_training(process, say)
                time.sleep(random_.uniform(0, duration))
            taken = _kill(process, kind, random_)
            if taken is not None:
                done[kind] += 1
                seconds[kind].append(taken)
                faults += [f"{kind}: {each} is torn" for each in torn(killed)]
                if taken >= MAX_SECONDS:
                    faults.append(f"{kind}: processes were left")
                print(f"{done.total()}: {kind}: {taken:.1f} s", file=sys.stderr)
                continue
        # A kill between the last file of a training and its end leaves a finished run.
        if process.wait() != 0 and "is finished already" not in say.read_text():
            faults.append(say.read_text()[-2000:])
            break
        runs += 1
        equal += same_results(killed, steady)
        faults += [f"left behind: {each}" for each in partial_writes(killed)]
        shutil.rmtree(killed)
    return {
        "fine": not faults and equal == runs and done.total() >= kills,
        "processes": count,
        "kills": dict(done),
        "runs": runs,
        "equal": equal,
        "faults": faults,
        "seconds_until_all_ended": {
            kind: [round(each, 1) for each in sorted(values)] for kind, values in seconds.items()
        },
    }


def _torchrun(folder: Path, say: Path, count: int, *words: object) -> subprocess.Popen[bytes]:
    command = [*PYTHON, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", count]
    return start(*command, "-m", "asnn.cli", "train", *words, cwd=folder, say=say)


def _wait_for_training(process: subprocess.Popen[bytes], say: Path) -> None:
    """Wait for the line that the training prints before its first step, or for its end."""
    wait_until(lambda: b"writing " in say.read_bytes() or process.poll() is not None, MAX_SECONDS)


def _kill(process: subprocess.Popen[bytes], kind: str, random_: random.Random) -> float | None:
    """Kill processes of a kind; return after how many seconds all had ended, None if they had."""
    if process.poll() is not None:
        return None
    ranks = children(process.pid)
    if kind == "one process":
        if not ranks:
            return None
        signal_each([random_.choice(ranks)])
    else:
        signal_each([process.pid, *(ranks if kind == "all" else [])])
    taken = wait_until(
        lambda: process.poll() is not None and not any(map(alive, ranks)), MAX_SECONDS
    )
    if taken is None:
        signal_each([process.pid, *ranks])
        process.wait()
    return MAX_SECONDS if taken is None else taken


if __name__ == "__main__":
    main()
