"""A long training that is killed again and again: memory and files flat, the end the same.

    python -m studies.soak [--minutes 60] [--seed 0]

trains a small network twice side by side, one thread each, for about so many minutes: once
undisturbed, and once killed at random moments and resumed. It says, as JSON on stdout, whether
weights and metrics are equal byte for byte, what the kills have left behind, and how memory and
open files have changed over the undisturbed training. The exit code is 1 where a training has
failed or was never killed, the two are not equal, something is left behind, memory has grown by
more than 5 % since its first tenth, or files have grown.
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
PROBE = 20  # epochs that tell how long one takes
WATCH = 0.5  # seconds between two looks at a process
GROWTH = 0.05


@dataclass
class Watched:
    """What a process has held over time.

    Attributes:
        memory: resident bytes at each look.
        files: open files at each look.
    """

    memory: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def look(self, pid: int) -> None:
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            files = len(os.listdir(f"/proc/{pid}/fd"))
        except (OSError, IndexError):
            return
        self.memory.append(pages * os.sysconf("SC_PAGE_SIZE"))
        self.files.append(files)


def main() -> None:
    """Train twice, compare, and say how it went."""
    parser = argparse.ArgumentParser(prog="python -m studies.soak")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = soak(Path(folder), options.minutes, random.Random(options.seed))
    print(json.dumps(result, indent=2))
    sys.exit(0 if result["fine"] else 1)


def soak(folder: Path, minutes: float, chance: random.Random) -> dict[str, Any]:
    """Return what both trainings have shown."""
    begin = time.monotonic()
    probe = ["digits", *RECIPE, "--set", f"train.epochs={PROBE}", "--out", folder / "probe"]
    if _start(*probe).wait() != 0:
        raise SystemExit("the training that was to tell how long an epoch takes has failed")
    # From just before the first step until the end, so with validations and states.
    began, ended = (
        (folder / "probe" / name).stat().st_mtime for name in ("environment.json", "summary.json")
    )
    epochs = max(PROBE, int(60 * minutes * PROBE / (ended - began)))
    recipe = ["digits", *RECIPE, "--set", f"train.epochs={epochs}"]
    whole, killed = folder / "whole", folder / "killed"
    quiet = _start(*recipe, "--out", whole)
    victim = _start(*recipe, "--out", killed)
    watched, kills = Watched(), 0
    kill_at = time.monotonic() + chance.uniform(5, 60)
    while quiet.poll() is None or victim.poll() is None:
        time.sleep(WATCH)
        if quiet.poll() is None and (whole / "metrics.jsonl").exists():
            watched.look(quiet.pid)
        if victim.poll() is None and time.monotonic() > kill_at:
            victim.kill()
            victim.wait()
            kills += 1
            victim = _start("train", "--resume", killed)
            kill_at = time.monotonic() + chance.uniform(5, 120)
    codes = [quiet.returncode, victim.returncode]
    equal = codes == [0, 0] and all(
        (whole / name).read_bytes() == (killed / name).read_bytes()
        for name in ("model.safetensors", "metrics.jsonl")
    )
    left = sorted(_paths(killed) - _paths(whole))
    tenth = max(len(watched.memory) // 10, 1)
    memory, files = (
        [statistics.median(part) for part in (looks[:tenth], looks[-tenth:])]
        for looks in (watched.memory, watched.files)
    )
    flat = memory[1] <= (1 + GROWTH) * memory[0] and files[1] <= files[0]
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
    """Return all that a run holds but its training states, whose steps depend on the kills."""
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
