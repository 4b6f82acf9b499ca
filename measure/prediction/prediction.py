"""The answer of a network to one input."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ...core.errors import AsnnError


@dataclass(frozen=True)
class Ranked:
    """A class with its number, from 0, and its probability by softmax of the answer."""

    label: str
    index: int
    confidence: float


@dataclass(frozen=True)
class Box:
    """A box with its class, the number of that from 0, and its probability.

    `corners` are (x1, y1, x2, y2) in pixels of the file, from its left and top edge.
    """

    label: str
    index: int
    confidence: float
    corners: tuple[float, ...]

    @property
    def has_area(self) -> bool:
        """Whether it has width and height."""
        x1, y1, x2, y2 = self.corners
        return x1 < x2 and y1 < y2


@dataclass(frozen=True)
class FlowField:
    """The optical flow of a recording.

    Attributes:
        field: pixels to the right and down over the duration, `[2, H, W]`.
        events: which pixels have an event, `[H, W]`.
        fwl, rsat: how well the events meet, see `asnn.datasets.motion.measures`; None without
            events.
        milliseconds: the duration.
    """

    field: Tensor
    events: Tensor
    fwl: float | None
    rsat: float | None
    milliseconds: float

    @property
    def mean(self) -> tuple[float, float] | None:
        """The mean over the pixels with events; None without events."""
        if not bool(self.events.any()):
            return None
        right, down = self.field[:, self.events].mean(1).tolist()
        return right, down

    def document(self) -> dict[str, Any]:
        """Return plain values, without the flow of each pixel."""
        return {
            "mean": None if self.mean is None else list(self.mean),
            "fwl": self.fwl,
            "rsat": self.rsat,
            "milliseconds": self.milliseconds,
            "pixels": int(self.events.sum()),
        }


@dataclass(frozen=True)
class Prediction:
    """What a network answers to one input; what its task does not have is None.

    Attributes:
        source: the file, `FILE[3]` for the fourth sample of a file, or `stdin`.
        label, index: the class, and its number from 0.
        confidence: its probability, by softmax of the answer.
        top: the most probable classes, the answer first.
        labels: the class of each step, for `step-classification`.
        confidences: the probability of each of them.
        values: `[K]`, or `[T][K]` of each step, for `regression`.
        boxes: the best first, for `detection`.
        flow: of each pixel, for `flow`.
        step: the step after which the answer stands, from 1: T unless the readout or a rule for
            early exit decides before.
        decided: whether the readout or the rule has decided; false where it was the last step, and
            where no output fires at an exact time.
        time: the exact time of the answer, +inf without one; None of a network of time steps.
        spikes: of all layers up to that step if the readout or a rule decides, else of all steps.
        picojoules: of the same steps; None if it was not requested.
        expected: the class that the folder of the file is named after, or the label in the file.
        changes: how the input was changed to fit the network, such as `resized to 28x28`.
        reasons: why a figure is None, by its name.
        error: why there is no answer; all else is None then.
    """

    source: str
    label: str | None = None
    index: int | None = None
    confidence: float | None = None
    top: tuple[Ranked, ...] = ()
    labels: tuple[str, ...] | None = None
    confidences: tuple[float, ...] | None = None
    values: Any = None
    boxes: tuple[Box, ...] | None = None
    flow: FlowField | None = None
    step: int | None = None
    decided: bool | None = None
    time: float | None = None
    spikes: float | None = None
    picojoules: float | None = None
    expected: str | None = None
    changes: tuple[str, ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)
    error: AsnnError | None = None

    @property
    def correct(self) -> bool | None:
        """Whether the class is the expected one; None if none is known."""
        return None if self.expected is None or self.label is None else self.label == self.expected

    def document(self) -> dict[str, Any]:
        """Return plain values, as a line of `asnn predict --json`; None for a value that is not
        finite."""
        if self.error is not None:
            error = self.error
            return {
                "input": self.source,
                "error": {"what": error.what, "why": error.why, "remedy": error.remedy},
            }
        found: dict[str, Any] = {"input": self.source}
        if self.label is not None:
            found |= {"class": self.label, "index": self.index, "confidence": self.confidence}
            found["top"] = [
                {"class": each.label, "index": each.index, "confidence": each.confidence}
                for each in self.top
            ]
        if self.labels is not None:
            found |= {"classes": list(self.labels), "confidences": list(self.confidences or ())}
        if self.values is not None:
            found["values"] = self.values
        if self.boxes is not None:
            found["boxes"] = [
                {
                    "class": each.label,
                    "index": each.index,
                    "confidence": each.confidence,
                    "box": [round(value, 3) for value in each.corners],
                }
                for each in self.boxes
            ]
        if self.flow is not None:
            found["flow"] = self.flow.document()
        found |= {"step": self.step, "decided": self.decided}
        found |= {} if self.time is None else {"time": self.time}
        found |= {"spikes": self.spikes}
        if self.picojoules is not None or "picojoules" in self.reasons:
            found["picojoules"] = self.picojoules
        found |= {"expected": self.expected, "changes": list(self.changes)}
        found |= {"reasons": self.reasons} if self.reasons else {}
        return finite(found)


def finite(value: Any) -> Any:
    """Return plain values with None for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
