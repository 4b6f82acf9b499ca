"""The process that `memory.py` starts: `python -m asnn.benchmarks.probe REQUEST`.

REQUEST is a JSON object; the result is one line of JSON.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch

from .baselines import BASELINES, build
from .case import Case
from .work import TrainingStep

TINY_BATCH = 2
PROC = Path("/proc/self")


class Step(Protocol):
    """A training step, by its optimizer."""

    @property
    def optimizer(self) -> torch.optim.Optimizer: ...

    def __call__(self) -> None: ...


def probe(request: dict[str, Any]) -> dict[str, Any]:
    """Build a baseline, make the first step, and measure the peak of the steps after it."""
    torch.set_num_threads(request["threads"])
    _load_torch()
    baseline, case = BASELINES[request["baseline"]], Case.from_dict(request["case"])
    begin = time.perf_counter()
    network = build(baseline, case)
    built = time.perf_counter()
    # A baseline that compiles for each shape must not compile again in the measured steps.
    first = case if baseline.slow_start else replace(case, batch=TINY_BATCH)
    step = TrainingStep(network, first)
    step()
    called = time.perf_counter()
    growth, reason = None, "no step was measured"
    if request["steps"]:
        step.images, step.labels = case.images(), case.labels()
        growth, reason = peak_growth(step, request["steps"])
    return {
        "peak_growth": growth,
        "reason": reason,
        "build_seconds": built - begin,
        "first_call_seconds": called - built,
    }


def _load_torch() -> None:
    """Train one weight, so that loading torch is not counted for any baseline."""
    layer = torch.nn.Linear(1, 1)
    optimizer = torch.optim.Adam(layer.parameters(), fused=True)
    layer(torch.ones(1, 1)).sum().backward()
    optimizer.step()


def peak_growth(step: Step, steps: int) -> tuple[int | None, str]:
    """Return by how many bytes the steps raise the resident memory, or None and the reason."""
    step.optimizer.zero_grad()
    gc.collect()
    _trim_heap()
    try:
        (PROC / "clear_refs").write_text("5")  # resets the peak to the resident memory
        before = _status("VmRSS")
        for _ in range(steps):
            step()
        return _status("VmHWM") - before, ""
    except (OSError, KeyError) as error:
        return None, f"the system does not report a peak ({error})"


def _trim_heap() -> None:
    """Return freed pages to the system (glibc only); reusing them would hide growth."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return


def _status(field: str) -> int:
    """Return a field of /proc/self/status in bytes.

    Raises:
        OSError, KeyError: the field does not exist.
    """
    lines = (PROC / "status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(values[field].split()[0]) * 1024


if __name__ == "__main__":
    print(json.dumps(probe(json.loads(sys.argv[1]))))
