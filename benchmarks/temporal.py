"""Targets for convolutions over time: `asnn bench --preset temporal`.

A training step of spiking-yolo beside the same network with `nn.Conv3d` and SpikingJelly's neurons:
canvases of 96×96, 15 outputs in each cell, T = 4, batch 16, float32.
"""

from __future__ import annotations

from typing import Any

from .case import Case
from .run import Job, ratio
from .targets import Target, of_ratio

CASE = Case("spiking-yolo", (1, 96, 96), 15, "direct", 4, 16)
NAMES = ("asnn", "spikingjelly")
MIN_SPEEDUP = 2.0
MAX_MEMORY = 1.0  # of SpikingJelly's


def jobs() -> list[Job]:
    """Return the measurements that the targets need."""
    return [Job(CASE, NAMES, ("train",), NAMES)]


def targets(results: list[dict[str, Any]]) -> list[Target]:
    """Return every target with the results of `run_job` for the jobs."""
    (result,) = results
    spread = ratio(result, "train", "spikingjelly", "asnn")
    what = "train spiking-yolo: spikingjelly / asnn"
    speed = of_ratio(what, "at least", MIN_SPEEDUP, spread, result, "spikingjelly")
    return [speed, _of_memory(result)]


def _of_memory(result: dict[str, Any]) -> Target:
    """Return the target for the growth of memory in training steps."""
    what = "peak growth spiking-yolo: asnn / spikingjelly"
    growth = {}
    for name in NAMES:
        memory = result["contestants"].get(name, {}).get("memory") or {}
        if memory.get("peak_growth") is None:
            note = memory.get("reason") or f"the memory of {name} was not measured"
            return Target(what, "at most", MAX_MEMORY, "×", None, note=note)
        growth[name] = memory["peak_growth"]
    mega = {name: f"{name} {value / 1e6:.0f} MB" for name, value in growth.items()}
    measured = growth["asnn"] / growth["spikingjelly"]
    return Target(what, "at most", MAX_MEMORY, "×", measured, note=", ".join(mega.values()))
