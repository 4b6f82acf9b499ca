"""Targets for deep networks: `asnn bench --preset architectures`.

Images of the shape of CIFAR-10, T = 4, batch 32, float32. SpikingJelly's weights have the shapes of
asnn's; `work` in the JSON counts the parameters that either has besides them.
"""

from __future__ import annotations

from typing import Any

from .case import Case
from .run import Job, ratio
from .targets import Target, of_ratio

MODELS = ("ms-resnet18", "ms-resnet18-16", "spikformer")
CODINGS = ("direct", "hybrid")
CASES = [Case(model, (3, 32, 32), 10, coding, 4, 32) for model in MODELS for coding in CODINGS]
MIN_SPEEDUP = 2.5


def jobs() -> list[Job]:
    """Return the measurements that the targets need."""
    return [Job(case, ("asnn", "relu", "spikingjelly"), ("train",)) for case in CASES]


def targets(results: list[dict[str, Any]]) -> list[Target]:
    """Return every target with the results of `run_job` for the jobs."""
    found = []
    for result in results:
        case = Case.from_dict(result["case"])
        what = f"{case.model} {case.coding}: spikingjelly / asnn"
        spread = ratio(result, "train", "spikingjelly", "asnn")
        found.append(of_ratio(what, "at least", MIN_SPEEDUP, spread, result, "spikingjelly"))
    return found
