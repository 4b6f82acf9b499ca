"""Real values for an input, or for each of its steps."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from ....coding.samples import Batch
from ..prediction import Prediction
from .base import Answers, numbers, parts


class ValueAnswers(Answers):
    """The answer of the readout, K real values."""

    kind = "values"
    may_decide = True

    @classmethod
    def class_count(cls, outputs: int) -> int:
        return 0

    def of_scores(self, scores: Tensor, x: Batch | None) -> list[dict[str, Any]]:
        return [{"values": each} for each in scores.tolist()]

    @property
    def columns(self) -> list[str]:
        return [f"value_{k}" for k in range(1, self.outputs + 1)]

    def rows(self, document: dict[str, Any]) -> list[dict[str, Any]]:
        values = document.get("values") or []
        return [{**document, **{f"value_{k}": each for k, each in enumerate(values, start=1)}}]

    @property
    def heads(self) -> list[str]:
        return ["values"]

    def cells(self, prediction: Prediction) -> list[str]:
        return [numbers(prediction.values or [])]

    def caption(self, prediction: Prediction) -> str:
        values = np.ravel(prediction.values)
        return ", ".join(f"{value:.3g}" for value in values[:3]) + ("…" if len(values) > 3 else "")


class LogOddsAnswers(ValueAnswers):
    """The shares σ(o) of the answer o of the readout."""

    kind = "log-odds"

    def of_scores(self, scores: Tensor, x: Batch | None) -> list[dict[str, Any]]:
        return super().of_scores(scores.sigmoid(), x)


class StepValueAnswers(ValueAnswers):
    """The outputs of each step, `[T][K]` real values."""

    kind = "values of each step"
    per_step = True
    may_decide = False

    def of_steps(self, outputs: Tensor) -> list[dict[str, Any]]:
        return [{"values": each} for each in outputs.transpose(0, 1).tolist()]

    @property
    def columns(self) -> list[str]:
        return ["values"]

    def rows(self, document: dict[str, Any]) -> list[dict[str, Any]]:
        return [document]

    def cells(self, prediction: Prediction) -> list[str]:
        return [parts([numbers(step) for step in prediction.values or []], "; ")]
