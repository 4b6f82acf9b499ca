"""The time that a training needs to stop: signals at random times, each followed by `--resume`.

    python -m studies.stopping [--signals 20] [--within 40] [--seed 0] -- RECIPE [--set ...]

The signals come within so many seconds of the first line of the training, which it prints before
its first step, so that they hit steps, validations and checkpoints. It prints as JSON how many
seconds passed until the process ended. The exit code is 1 if a training did not end with 130 or 143
and a checkpoint from which it could be resumed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}


def main() -> None:
    """Stop and resume a training repeatedly, and print how long each stop took."""
    parser = argparse.ArgumentParser(prog="python -m studies.stopping")
    parser.add_argument("--signals", type=int, default=20)
    parser.add_argument("--within", type=float, default=40.0, help="seconds")
    parser.add_argument("--seed", type=int, default=0, help="of the times")
    parser.add_argument("recipe", nargs="+", help="of `asnn train`, with its options")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = stopping(
            options.recipe,
            Path(folder) / "run",
            options.signals,
            options.within,
            random.Random(options.seed),
        )
    print(json.dumps(result, indent=2))
    sys.exit(0 if result["fine"] else 1)


def stopping(
    recipe: list[str], run: Path, signals: int, within: float, random_: random.Random
) -> dict[str, Any]:
    """Return how long each stop took, and how it ended."""
    words = [*recipe, "--out", str(run)]
    stops: list[dict[str, Any]] = []
    while len(stops) < signals:
        process = subprocess.Popen(
            [sys.executable, "-m", "asnn.cli", "train", *words],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        output = _until(process.stderr, "writing ")
        time.sleep(random_.uniform(0, within))
        number = random_.choice(list(SIGNALS))
        begin = time.monotonic()
        process.send_signal(number)
        output += process.stderr.read()
        code = process.wait()
        stops.append(
            {
                "signal": number.name,
                "seconds": round(time.monotonic() - begin, 2),
                "as_promised": code == SIGNALS[number],
                "said": output.strip().splitlines()[-1:],
            }
        )
        if any(run.glob("checkpoints/step-*/state.pt")):
            words = ["--resume", str(run)]
        elif run.exists():
            stops[-1]["as_promised"] = False
            break
    seconds = [each["seconds"] for each in stops]
    return {
        "fine": len(stops) == signals and all(each["as_promised"] for each in stops),
        "recipe": recipe,
        "threads": os.environ.get("OMP_NUM_THREADS", os.cpu_count()),
        "seconds": {"median": statistics.median(seconds), "greatest": max(seconds)},
        "stops": stops,
    }


def _until(stream: Any, beginning: str) -> str:
    """Read lines until one starts with `beginning`; return them."""
    output = ""
    for line in stream:
        output += line
        if line.startswith(beginning):
            break
    return output


if __name__ == "__main__":
    main()
