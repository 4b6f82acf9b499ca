"""What `memory.py` runs in a process of its own: `python -m asnn.benchmarks.probe ORDER`.

ORDER is a JSON object; the answer is one line of JSON.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from .baselines import BASELINES, build
from .case import Case
from .work import TrainingStep

TINY_BATCH = 2
OWN = Path("/proc/self")


def probe(order: dict[str, Any]) -> dict[str, Any]:
    """Build a contestant, make a first step, and look for the peak of the steps after it."""
    torch.set_num_threads(order["threads"])
    _load_torch()
    contestant, case = BASELINES[order["contestant"]], Case.from_dict(order["case"])
    begin = time.perf_counter()
    network = build(contestant, case)
    built = time.perf_counter()
    # What compiles for one shape would compile within the steps that are watched.
    first = case if contestant.slow_start else replace(case, batch=TINY_BATCH)
    step = TrainingStep(network, first)
    step()
    called = time.perf_counter()
    growth, reason = None, "no step was watched"
    if order["steps"]:
        step.images, step.labels = case.images(), case.labels()
        growth, reason = peak_growth(step, order["steps"])
    return {
        "peak_growth": growth,
        "reason": reason,
        "build_seconds": built - begin,
        "first_call_seconds": called - built,
    }


def _load_torch() -> None:
    """Train one weight: what torch loads for its first step is nobody's cost."""
    layer = torch.nn.Linear(1, 1)
    optimizer = torch.optim.Adam(layer.parameters(), fused=True)
    layer(torch.ones(1, 1)).sum().backward()
    optimizer.step()


def peak_growth(step: TrainingStep, steps: int) -> tuple[int | None, str]:
    """Return by how many bytes the steps raise the resident memory, or None and why not."""
    step.optimizer.zero_grad()
    gc.collect()
    _give_back_freed_memory()
    try:
        (OWN / "clear_refs").write_text("5")  # the peak is what is resident now
        before = _status("VmRSS")
        for _ in range(steps):
            step()
        return _status("VmHWM") - before, ""
    except (OSError, KeyError) as error:
        return None, f"the system does not tell a peak ({error})"


def _give_back_freed_memory() -> None:
    """Return freed pages to the system: they would hide as much of the growth (glibc only)."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return


def _status(field: str) -> int:
    """Return a figure of /proc/self/status in bytes.

    Raises:
        OSError, KeyError: the system does not have it.
    """
    lines = (OWN / "status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(values[field].split()[0]) * 1024


if __name__ == "__main__":
    print(json.dumps(probe(json.loads(sys.argv[1]))))
