"""A long training that is killed repeatedly: constant memory and files, and the same result.

    python -m studies.soak [--minutes 60] [--seed 0]

trains a small network twice at the same time, with one thread each, for about so many minutes: once
without interruption, and once killed at random times and resumed. It prints as JSON whether weights
and metrics are equal byte for byte, which files the kills left behind, and how memory and open
files changed during the uninterrupted training. The exit code is 1 if a training failed or was
never killed, the results differ, a file was left behind, memory grew by more than 5 % since the
first tenth, or the number of open files grew.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RECIPE = [
    *("--set", "model.widths=[4,8]", "--set", "model.hidden=16", "--set", "train.batch_size=32"),
    *("--set", "train.ema=0.99", "--set", "augment.mixup=true", "--set", "augment.crop=1"),
    *("--set", "train.checkpoint_steps=50", "--set", "train.workers=0"),
]
PROBE_EPOCHS = 20  # to estimate the time of an epoch
INTERVAL = 0.5  # seconds between two samples of a process
MAX_GROWTH = 0.05


@dataclass
class Usage:
    """Memory and open files of a process over time.

    Attributes:
        memory: resident bytes of each sample.
        files: open files of each sample.
    """

    memory: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def sample(self, pid: int) -> None:
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            files = len(os.listdir(f"/proc/{pid}/fd"))
        except (OSError, IndexError):
            return
        self.memory.append(pages * os.sysconf("SC_PAGE_SIZE"))
        self.files.append(files)


def main() -> None:
    """Train twice, compare, and print the result."""
    parser = argparse.ArgumentParser(prog="python -m studies.soak")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0, help="of the times of the kills")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = soak(Path(folder), options.minutes, random.Random(options.seed))
    print(json.dumps(result, indent=2))
    sys.exit(0 if result["fine"] else 1)


def soak(folder: Path, minutes: float, random_: random.Random) -> dict[str, Any]:
    """Return the results of both trainings."""
    begin = time.monotonic()
    probe = ["digits", *RECIPE, "--set", f"train.epochs={PROBE_EPOCHS}", "--out", folder / "probe"]
    if _start(*probe).wait() != 0:
        raise SystemExit("the training that estimates the time of an epoch failed")
    # From just before the first step until the end, including validation and checkpoints.
    began, ended = (
        (folder / "probe" / name).stat().st_mtime for name in ("environment.json", "summary.json")
    )
    epochs = max(PROBE_EPOCHS, int(60 * minutes * PROBE_EPOCHS / (ended - began)))
    recipe = ["digits", *RECIPE, "--set", f"train.epochs={epochs}"]
    uninterrupted, killed = folder / "uninterrupted", folder / "killed"
    steady = _start(*recipe, "--out", uninterrupted)
    victim = _start(*recipe, "--out", killed)
    usage, kills = Usage(), 0
    kill_at = time.monotonic() + random_.uniform(5, 60)
    while steady.poll() is None or victim.poll() is None:
        time.sleep(INTERVAL)
        if steady.poll() is None and (uninterrupted / "metrics.jsonl").exists():
            usage.sample(steady.pid)
        if victim.poll() is None and time.monotonic() > kill_at:
            victim.kill()
            victim.wait()
            kills += 1
            victim = _start("train", "--resume", killed)
            kill_at = time.monotonic() + random_.uniform(5, 120)
    codes = [steady.returncode, victim.returncode]
    equal = codes == [0, 0] and all(
        (uninterrupted / name).read_bytes() == (killed / name).read_bytes()
        for name in ("model.safetensors", "metrics.jsonl")
    )
    left = sorted(_paths(killed) - _paths(uninterrupted))
    tenth = max(len(usage.memory) // 10, 1)
    memory, files = (
        [statistics.median(part) for part in (samples[:tenth], samples[-tenth:])]
        for samples in (usage.memory, usage.files)
    )
    flat = memory[1] <= (1 + MAX_GROWTH) * memory[0] and files[1] <= files[0]
    return {
        "fine": equal and flat and not left and kills > 0,
        "minutes": round((time.monotonic() - begin) / 60, 1),
        "epochs": epochs,
        "kills": kills,
        "exit_codes": codes,
        "equal": equal,
        "left_behind": left,
        "memory_mb": [round(each / 2**20, 1) for each in memory],
        "open_files": files,
        "flat": flat,
    }


def _paths(run: Path) -> set[str]:
    """Return all files of a run except checkpoints, whose steps depend on the kills."""
    paths = {path.relative_to(run) for path in run.rglob("*")}
    return {str(path) for path in paths if not any(p.startswith("step-") for p in path.parts)}


def _start(*arguments: object) -> subprocess.Popen[bytes]:
    words = [str(each) for each in arguments]
    if words[0] != "train":
        words = ["train", *words]
    return subprocess.Popen(
        [sys.executable, "-m", "asnn.cli", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    main()
