"""What asnn promises, and whether this machine sees it: `asnn bench --preset paper`.

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
    """A promise and what was measured.

    Attributes:
        what: the quantity.
        bound: whether the promise is a least or a most.
        promised: the figure.
        unit: `×` or `MB`.
        measured: what came out, or None where it could not be measured.
        spread: its quartiles, where it is a ratio.
        note: why there is no figure, or what else to know.
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
        """Whether the promise is kept, or None where it could not be measured."""
        if self.measured is None:
            return None
        if self.bound == "at least":
            return self.measured >= self.promised
        return self.measured <= self.promised

    def as_dict(self) -> dict[str, Any]:
        """Return the fields and the verdict, for JSON."""
        return {**vars(self), "spread": list(self.spread) if self.spread else None, "met": self.met}


def jobs() -> list[Job]:
    """Return what has to be measured for the targets."""
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
    """Return every promise with what `run_job` found for the jobs."""
    found = {Case.from_dict(result["case"]): result for result in results}

    def times(what: str, case: Case, part: str, slower: str, least: float) -> Target:
        spread = ratio(found[case], part, slower, "asnn")
        return of_ratio(f"{what}: {slower} / asnn", "at least", least, spread, found[case], slower)

    def share(what: str, case: Case, part: str, other: str, most: float) -> Target:
        spread = ratio(found[case], part, "asnn", other)
        return of_ratio(f"{what}: asnn / {other}", "at most", most, spread, found[case], other)

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
    """Return what a training step has to keep of a case until its backward pass.

    The outputs of the affine layers, from which membranes are computed again, and the inputs of
    the affine layers, for the gradients of their weights: the code, and spikes behind each pool.
    What a static code gives is kept once. The readout's input is averaged over time first.

    Args:
        case: what is trained.
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
    """Return a promise of a ratio, or why a result does not have it."""
    if spread is None:
        return Target(what, bound, promised, "×", None, note=_why(result, other))
    return Target(what, bound, promised, "×", spread.median, (spread.low, spread.high))


def _of_memory(what: str, most: float, result: dict[str, Any]) -> Target:
    growth, why = _growth(result)
    return Target(what, "at most", most, "MB", growth, note=why)


def _of_growth(short: dict[str, Any], long: dict[str, Any]) -> Target:
    """Return by how much more memory T = 32 takes than T = 8, and what it has to keep."""
    (before, why), (after, _) = _growth(short), _growth(long)
    needed = (kept_bytes(LONG) - kept_bytes(SHORT)) / MB
    bytewise = (kept_bytes(LONG, 1) - kept_bytes(SHORT, 1)) / MB
    note = (
        f"{needed:.0f} MB of layer outputs and float32 spikes have to be kept "
        f"({bytewise:.0f} MB with spikes in one byte)"
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
    """Return why a contestant, or asnn, was not measured."""
    reasons = {each["contestant"]: each["why"] for each in result["not_measured"]}
    return reasons.get(name) or reasons.get("asnn") or "not measured"
