"""One class for an input, or for each of its steps."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from torch import Tensor

from ....coding.samples import Batch
from ..prediction import Prediction, Ranked
from .base import Answers, parts


class ClassAnswers(Answers):
    """The class with the greatest score, and the next ones."""

    kind = "class"
    one_class = True
    may_decide = True

    def of_scores(self, scores: Tensor, x: Batch | None) -> list[dict[str, Any]]:
        # By the scores: different ones can round to the same probability.
        order = scores.sort(dim=1, descending=True, stable=True).indices[:, : self.top]
        confidence = scores.softmax(1).gather(1, order)
        answers = []
        for indices, confidences in zip(order.tolist(), confidence.tolist(), strict=True):
            top = tuple(
                Ranked(self.labels[index], index, value)
                for index, value in zip(indices, confidences, strict=True)
            )
            first = top[0]
            answer = {"label": first.label, "index": first.index, "confidence": first.confidence}
            answers.append({**answer, "top": top})
        return answers

    @property
    def columns(self) -> list[str]:
        more = range(2, min(self.top, self.outputs) + 1)
        others = [f"{name}_{k}" for k in more for name in ("class", "confidence")]
        return ["class", "index", "confidence", *others]

    def rows(self, document: dict[str, Any]) -> list[dict[str, Any]]:
        others: dict[str, Any] = {}
        for number, each in enumerate(document.get("top", ())[1:], start=2):
            others |= {f"class_{number}": each["class"], f"confidence_{number}": each["confidence"]}
        return [{**document, **others}]

    @property
    def heads(self) -> list[str]:
        return ["class", "%", *(["others, %"] if self.top > 1 else [])]

    def cells(self, prediction: Prediction) -> list[str]:
        assert prediction.label is not None
        assert prediction.confidence is not None
        cells = [prediction.label, f"{100 * prediction.confidence:.2f}"]
        others = [f"{each.label} {100 * each.confidence:.2f}" for each in prediction.top[1:]]
        return cells + ([", ".join(others)] if others else [])

    def caption(self, prediction: Prediction) -> str:
        text = f"{prediction.label}  {100 * (prediction.confidence or 0):.0f} %"
        return text + (f"\nnot {prediction.expected}" if prediction.correct is False else "")


class StepClassAnswers(Answers):
    """The class of each step with the greatest output."""

    kind = "class of each step"
    per_step = True

    def of_steps(self, outputs: Tensor) -> list[dict[str, Any]]:
        confidence, index = outputs.softmax(2).max(2)
        return [
            {
                "labels": tuple(self.labels[each] for each in indices),
                "confidences": tuple(confidences),
            }
            for indices, confidences in zip(index.T.tolist(), confidence.T.tolist(), strict=True)
        ]

    @property
    def columns(self) -> list[str]:
        return ["classes", "confidences"]

    @property
    def heads(self) -> list[str]:
        return ["classes by step"]

    def cells(self, prediction: Prediction) -> list[str]:
        labels = prediction.labels or ()
        runs = [f"{label}×{len(list(steps))}" for label, steps in groupby(labels)]
        return [parts(runs, " ")]

    def caption(self, prediction: Prediction) -> str:
        labels = prediction.labels or ()
        counts = {label: labels.count(label) for label in labels}
        most = sorted(counts, key=lambda label: -counts[label])[:3]
        return ", ".join(f"{label} {counts[label]}" for label in most)
