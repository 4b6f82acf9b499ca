"""Targets of speed and memory: `asnn bench --preset paper`.

The network is the LeNet of the paper: 3×32×32, 100 classes, T = 7, batch 64, float32.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from ..measure.timing import Spread
from .case import Case
from .run import Job, ratio

PAPER = Case("lenet", (3, 32, 32), 100, "direct", 7, 64)
HYBRID = replace(PAPER, coding="hybrid")
SINGLE = replace(PAPER, batch=1)
SHORT, LONG = replace(PAPER, steps=8), replace(PAPER, steps=32)
SPIKINGJELLY = ("spikingjelly", "spikingjelly-compiled")
MB = 1e6
FLOAT = 4


@dataclass(frozen=True)
class Target:
    """A target and the measured value.

    Attributes:
        what: the quantity.
        bound: whether the target is a minimum or a maximum.
        promised: its value.
        unit: `×` or `MB`.
        measured: the measured value, or None if it could not be measured.
        spread: quartiles of a ratio.
        note: why there is no value, or further information.
    """

    what: str
    bound: Literal["at least", "at most"]
    promised: float
    unit: str
    measured: float | None
    spread: tuple[float, float] | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met, or None if it could not be measured."""
        if self.measured is None:
            return None
        if self.bound == "at least":
            return self.measured >= self.promised
        return self.measured <= self.promised

    def as_dict(self) -> dict[str, Any]:
        """Return the fields and `met`, for JSON."""
        return {**vars(self), "spread": list(self.spread) if self.spread else None, "met": self.met}


def jobs() -> list[Job]:
    """Return the measurements that the targets need."""
    both = ("train", "inference")
    return [
        Job(
            PAPER, ("asnn", "step-loop", "relu", "relu-every-step", *SPIKINGJELLY), both, ("asnn",)
        ),
        Job(HYBRID, ("asnn", "relu", *SPIKINGJELLY), ("train",), ("asnn",)),
        Job(SINGLE, ("asnn", "relu"), ("inference",)),
        Job(SHORT, ("asnn",), (), ("asnn",)),
        Job(LONG, ("asnn",), (), ("asnn",)),
    ]


def targets(results: list[dict[str, Any]]) -> list[Target]:
    """Return every target with the results of `run_job` for the jobs."""
    found = {Case.from_dict(result["case"]): result for result in results}

    def times(what: str, case: Case, part: str, slower: str, minimum: float) -> Target:
        spread = ratio(found[case], part, slower, "asnn")
        return of_ratio(
            f"{what}: {slower} / asnn", "at least", minimum, spread, found[case], slower
        )

    def share(what: str, case: Case, part: str, other: str, maximum: float) -> Target:
        spread = ratio(found[case], part, "asnn", other)
        return of_ratio(f"{what}: asnn / {other}", "at most", maximum, spread, found[case], other)

    return [
        times("train direct", PAPER, "train", "step-loop", 4),
        *(times("train direct", PAPER, "train", name, 4.5) for name in SPIKINGJELLY),
        share("train direct", PAPER, "train", "relu", 0.95),
        *(times("train hybrid", HYBRID, "train", name, 3) for name in SPIKINGJELLY),
        share("train hybrid", HYBRID, "train", "relu", 0.75),
        _of_memory("peak growth direct", 120, found[PAPER]),
        _of_memory("peak growth hybrid", 250, found[HYBRID]),
        _of_growth(found[SHORT], found[LONG]),
        *(times("infer direct", PAPER, "inference", name, 5) for name in SPIKINGJELLY),
        share("infer batch 1", SINGLE, "inference", "relu", 1),
    ]


def kept_bytes(case: Case, spike_bytes: int = FLOAT) -> int:
    """Return the bytes that a training step must keep until its backward pass.

    They are the outputs of the affine layers, from which membranes are recomputed, and the inputs
    of the affine layers, for the gradients of their weights: the code, and spikes after each pool.
    With a static code the input and the output of the first layer are kept once. The readout's
    input is averaged over time first.

    Args:
        case: to train.
        spike_bytes: bytes of one spike; a convolution of PyTorch keeps its input in float32.
    """
    static = case.encoder.static
    channels, height, width = case.in_shape
    inputs = case.batch * channels * height * width
    kept = (inputs if static else case.steps * inputs) * FLOAT
    for i, layer in enumerate(case.layers):
        outputs = case.batch * layer.outputs * layer.size[0] * layer.size[1]
        kept += (1 if i == 0 and static else case.steps) * outputs * FLOAT
        spikes = case.batch * layer.outputs * layer.pooled[0] * layer.pooled[1]
        last = i == len(case.layers) - 1
        kept += spikes * FLOAT if last else case.steps * spikes * spike_bytes
    return kept


def of_ratio(
    what: str,
    bound: Literal["at least", "at most"],
    promised: float,
    spread: Spread | None,
    result: dict[str, Any],
    other: str,
) -> Target:
    """Return a target for a ratio, with the reason if the ratio was not measured."""
    if spread is None:
        return Target(what, bound, promised, "×", None, note=_why(result, other))
    return Target(what, bound, promised, "×", spread.median, (spread.low, spread.high))


def _of_memory(what: str, maximum: float, result: dict[str, Any]) -> Target:
    growth, why = _growth(result)
    return Target(what, "at most", maximum, "MB", growth, note=why)


def _of_growth(short: dict[str, Any], long: dict[str, Any]) -> Target:
    """Return the target for the additional memory of T = 32 over T = 8."""
    (before, why), (after, _) = _growth(short), _growth(long)
    needed = (kept_bytes(LONG) - kept_bytes(SHORT)) / MB
    needed_as_bytes = (kept_bytes(LONG, 1) - kept_bytes(SHORT, 1)) / MB
    note = (
        f"{needed:.0f} MB of layer outputs and float32 spikes have to be kept "
        f"({needed_as_bytes:.0f} MB with spikes in one byte)"
    )
    if before is None or after is None:
        return Target("peak growth T 8 to 32", "at most", needed, "MB", None, note=f"{why}; {note}")
    return Target("peak growth T 8 to 32", "at most", needed, "MB", after - before, note=note)


def _growth(result: dict[str, Any]) -> tuple[float | None, str]:
    memory = result["contestants"].get("asnn", {}).get("memory")
    if memory is None:
        return None, _why(result, "asnn")
    if memory["peak_growth"] is None:
        return None, memory["reason"]
    return memory["peak_growth"] / MB, ""


def _why(result: dict[str, Any], name: str) -> str:
    """Return why a baseline or asnn was not measured."""
    reasons = {each["contestant"]: each["why"] for each in result["not_measured"]}
    return reasons.get(name) or reasons.get("asnn") or "not measured"
