"""Peak memory of a training step, and the cost of the first call, each in a process of its own.

A process that has measured one contestant keeps its memory and its compiled code, so each gets a
fresh one (`probe.py`). It builds the network and makes one tiny step, which loads and compiles
what a step needs and creates the state of the optimiser; that step is the first call. Then the
system's record of the peak is reset, a few steps are made, and the growth is the new peak less
what was resident before: activations, gradients and all that a step takes for itself.

A contestant that compiles is started twice, with an empty cache on disk and with the cache that
the first start has left.
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
LONGEST_SECONDS = 900


@dataclass(frozen=True)
class Footprint:
    """What a contestant costs beside time; a figure that could not be had is None.

    Attributes:
        peak_growth: bytes by which training steps raise the resident memory.
        reason: why there is no peak.
        build_seconds: imports (beyond torch) and construction.
        first_call_seconds: the first training step, with nothing compiled yet.
        warm_first_call_seconds: the same with the cache on disk; None where nothing is compiled.
    """

    peak_growth: int | None
    reason: str
    build_seconds: float
    first_call_seconds: float
    warm_first_call_seconds: float | None


def footprint(contestant: Baseline, case: Case, *, threads: int, steps: int = 3) -> Footprint:
    """Measure a contestant in processes of its own.

    Args:
        contestant: who.
        case: what is trained.
        threads: of torch, and of what follows it.
        steps: training steps over which the peak is looked for.

    Raises:
        AsnnError: the process failed, or took too long.
    """
    with tempfile.TemporaryDirectory(prefix="asnn-bench-") as cache:
        told = _probe(contestant, case, threads, steps, cache)
        again = _probe(contestant, case, threads, 0, cache) if contestant.compiles else None
    return Footprint(
        told["peak_growth"],
        told["reason"],
        told["build_seconds"],
        told["first_call_seconds"],
        again["first_call_seconds"] if again else None,
    )


def _probe(contestant: Baseline, case: Case, threads: int, steps: int, cache: str) -> dict:
    order = {
        "contestant": contestant.name,
        "case": case.as_dict(),
        "threads": threads,
        "steps": steps,
    }
    surroundings = {
        **os.environ,
        **{name: os.path.join(cache, name.lower()) for name in CACHES},
        "OMP_NUM_THREADS": str(threads),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "asnn.benchmarks.probe", json.dumps(order)],
            capture_output=True,
            text=True,
            env=surroundings,
            timeout=LONGEST_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise AsnnError(
            f"{contestant.name} was not done within {LONGEST_SECONDS} s", why=str(case)
        ) from error
    # The last line is ours; a library may print above it.
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise AsnnError(f"{contestant.name} failed in a process of its own", why=said[-1])
    return json.loads(lines[-1])
