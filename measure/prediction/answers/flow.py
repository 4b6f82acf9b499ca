"""Optical flow of a recording: a vector for each pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ....coding.samples import Batch, EventBatch
from ....tasks.flow import Flow, SeenEvents
from ..prediction import FlowField, Prediction
from .base import Answers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..inputs.sample import Sample


class FlowAnswers(Answers):
    """The flow of the answer of the readout, and how well the events meet that move along it."""

    kind = "flow"
    needs_code = True

    @classmethod
    def class_count(cls, outputs: int) -> int:
        return 0

    def of_scores(self, scores: Tensor, x: Batch | None) -> list[dict[str, Any]]:
        assert isinstance(x, EventBatch), "flow is that of recordings"
        assert isinstance(self.task, Flow)
        seen = SeenEvents(x.to("cpu"), self.task.until(x))
        found = seen.measures(scores)
        return [
            {
                "flow": FlowField(
                    field=flow,
                    events=pixels,
                    fwl=_known(fwl),
                    rsat=_known(rsat),
                    milliseconds=x.duration / 1000,
                )
            }
            for flow, pixels, fwl, rsat in zip(scores, seen.lit, found.fwl, found.rsat, strict=True)
        ]

    @property
    def columns(self) -> list[str]:
        return ["right", "down", "milliseconds", "pixels", "fwl", "rsat"]

    def rows(self, document: dict[str, Any]) -> list[dict[str, Any]]:
        flow = document["flow"]
        right, down = flow["mean"] or (None, None)
        return [{**document, **flow, "right": right, "down": down}]

    @property
    def heads(self) -> list[str]:
        return ["px right", "px down", "FWL"]

    def cells(self, prediction: Prediction) -> list[str]:
        flow = prediction.flow
        assert flow is not None
        mean = flow.mean
        texts = ["–", "–"] if mean is None else [f"{value:+.2f}" for value in mean]
        return [*texts, "–" if flow.fwl is None else f"{flow.fwl:.2f}"]

    def caption(self, prediction: Prediction) -> str:
        flow = prediction.flow
        if flow is None or flow.mean is None:
            return "no events"
        right, down = flow.mean
        return f"({right:+.1f}, {down:+.1f}) px in {flow.milliseconds:g} ms"

    def draw(self, axes: Axes, prediction: Prediction, sample: Sample) -> None:
        from ...figures.flow import draw_flow

        if prediction.flow is not None:
            field = prediction.flow.field
            limit = max(float(field.square().sum(0).sqrt().max()), 1e-6)
            draw_flow(axes, field, limit, prediction.flow.events)


def _known(value: Tensor) -> float | None:
    return float(value) if bool(torch.isfinite(value)) else None
