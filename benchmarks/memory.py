"""Peak memory of a training step, and the time of the first call, each in a separate process.

A process keeps the memory and the compiled code of everything it has run, so each baseline gets a
new one (`probe.py`). It builds the network and makes one small step, which loads and compiles
everything a step needs and creates the optimizer state; that step is the first call. Then the
system's record of the peak is reset, a few steps are made, and the growth is the new peak minus the
memory that was resident before: activations, gradients and temporary tensors.

A baseline that compiles is started twice, first with an empty cache on disk and then with the cache
of the first start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from ..core.errors import AsnnError
from .baselines import Baseline
from .case import Case

CACHES = ("NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
TIMEOUT_SECONDS = 900


@dataclass(frozen=True)
class Footprint:
    """Memory and first calls of a baseline.

    Attributes:
        peak_growth: bytes by which training steps raise the resident memory; None if unknown.
        reason: why the peak is unknown.
        build_seconds: imports (other than torch) and construction.
        first_call_seconds: the first training step, with an empty cache.
        warm_first_call_seconds: the same with the cache on disk; None if nothing is compiled.
    """

    peak_growth: int | None
    reason: str
    build_seconds: float
    first_call_seconds: float
    warm_first_call_seconds: float | None


def footprint(baseline: Baseline, case: Case, *, threads: int, steps: int = 3) -> Footprint:
    """Measure a baseline in separate processes.

    Args:
        baseline: to measure.
        case: to train.
        threads: of torch and OpenMP.
        steps: training steps over which the peak is measured.

    Raises:
        AsnnError: the process failed or took too long.
    """
    with tempfile.TemporaryDirectory(prefix="asnn-bench-") as cache:
        cold = _probe(baseline, case, threads, steps, cache)
        warm = _probe(baseline, case, threads, 0, cache) if baseline.compiles else None
    return Footprint(
        cold["peak_growth"],
        cold["reason"],
        cold["build_seconds"],
        cold["first_call_seconds"],
        warm["first_call_seconds"] if warm else None,
    )


def _probe(baseline: Baseline, case: Case, threads: int, steps: int, cache: str) -> dict:
    request = {
        "baseline": baseline.name,
        "case": case.as_dict(),
        "threads": threads,
        "steps": steps,
    }
    environment = {
        **os.environ,
        **{name: os.path.join(cache, name.lower()) for name in CACHES},
        "OMP_NUM_THREADS": str(threads),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "asnn.benchmarks.probe", json.dumps(request)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise AsnnError(
            f"{baseline.name} was not done within {TIMEOUT_SECONDS} s", why=str(case)
        ) from error
    # The last line is the result; a library may print before it.
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise AsnnError(f"{baseline.name} failed in a separate process", why=said[-1])
    return json.loads(lines[-1])
