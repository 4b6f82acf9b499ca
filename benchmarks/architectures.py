"""What asnn promises of newer networks: `asnn bench --preset architectures`.

Images of the shape of CIFAR-10, T = 4, batch 32, float32. SpikingJelly's weights have the shapes of
asnn's; `work` in the JSON counts what either has beyond them.
"""

from __future__ import annotations

from typing import Any

from .case import Case
from .run import Job, ratio
from .targets import Target, of_ratio

NETWORKS = ("ms-resnet18", "ms-resnet18-16", "spikformer")
CODINGS = ("direct", "hybrid")
CASES = [Case(model, (3, 32, 32), 10, coding, 4, 32) for model in NETWORKS for coding in CODINGS]
LEAST = 2.5


def jobs() -> list[Job]:
    """Return what has to be measured for the targets."""
    return [Job(case, ("asnn", "relu", "spikingjelly"), ("train",)) for case in CASES]


def targets(results: list[dict[str, Any]]) -> list[Target]:
    """Return every promise with what `run_job` found for the jobs."""
    told = []
    for result in results:
        case = Case.from_dict(result["case"])
        what = f"{case.model} {case.coding}: spikingjelly / asnn"
        spread = ratio(result, "train", "spikingjelly", "asnn")
        told.append(of_ratio(what, "at least", LEAST, spread, result, "spikingjelly"))
    return told
