"""What a network answers to each sample after each step, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

BINS = 15


@dataclass(frozen=True)
class Outcomes:
    """Answers to all samples of a split, in its order.

    Attributes:
        labels: `[N]`.
        answers: `[T, N]`, the class with the greatest mean of logits over the steps 1..t.
        confidence: `[T, N]` float32, the probability of that answer by softmax of the mean.
    """

    labels: Tensor
    answers: Tensor
    confidence: Tensor

    @staticmethod
    def of(so_far: Tensor, labels: Tensor) -> Outcomes:
        """Return the outcomes of one batch.

        Args:
            so_far: mean of the logits over the steps 1..t, `[T, B, K]`.
            labels: `[B]`.
        """
        # Not the argmax of the softmax, in which logits can round to the same.
        return Outcomes(labels.cpu(), so_far.argmax(2).cpu(), so_far.softmax(2).amax(2).cpu())

    @staticmethod
    def joined(batches: list[Outcomes], gathered: Callable[[Tensor], Tensor]) -> Outcomes:
        """Return the outcomes of all batches.

        Args:
            batches: one or more.
            gathered: gives `[..., N]` of the samples of all processes, in order.
        """
        return Outcomes(
            gathered(torch.cat([batch.labels for batch in batches])),
            gathered(torch.cat([batch.answers for batch in batches], 1)),
            gathered(torch.cat([batch.confidence for batch in batches], 1)),
        )

    @property
    def right(self) -> Tensor:
        """Which answers are right, `[T, N]`."""
        return self.answers == self.labels

    def confusion(self, classes: int) -> list[list[int]]:
        """Return counts by true class (row) and last answer (column)."""
        pairs = self.labels * classes + self.answers[-1]
        return torch.bincount(pairs, minlength=classes**2).view(classes, classes).tolist()


def worst_pairs(confusion: list[list[int]]) -> list[tuple[int, int, int]]:
    """Return (count, true class, answer) of all errors that were made, the most frequent first."""
    errors = [
        (count, true, answer)
        for true, row in enumerate(confusion)
        for answer, count in enumerate(row)
        if count and answer != true
    ]
    return sorted(errors, key=lambda error: -error[0])


@dataclass(frozen=True)
class Calibration:
    """Whether a network is right as often as it is sure.

        ECE = Σ_b n_b / N |accuracy_b - confidence_b|

    over bins of equal width of the confidence, (0, 1/M], ..., ((M-1)/M, 1].

    Attributes:
        error: ECE, from 0 to 1.
        bins: of each bin `low`, `high`, `samples`, and mean `confidence` and `accuracy`, None where
            it is empty.

    Source: Guo et al., ICML 2017, with M = 15.
    """

    error: float
    bins: list[dict[str, Any]]


def calibration(outcomes: Outcomes, bins: int = BINS) -> Calibration:
    """Return how well the last step's confidence is calibrated."""
    confidence, right = outcomes.confidence[-1].double(), outcomes.right[-1].double()
    number = (confidence * bins).ceil().long().clamp(1, bins) - 1
    samples = torch.bincount(number, minlength=bins)
    sure = torch.bincount(number, confidence, minlength=bins)
    hits = torch.bincount(number, right, minlength=bins)
    error = float((hits - sure).abs().sum()) / max(len(right), 1)
    found = []
    for i in range(bins):
        n = int(samples[i])
        found.append(
            {
                "low": i / bins,
                "high": (i + 1) / bins,
                "samples": n,
                "confidence": float(sure[i]) / n if n else None,
                "accuracy": float(hits[i]) / n if n else None,
            }
        )
    return Calibration(error, found)
