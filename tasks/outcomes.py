"""The prediction for each sample after each step, its confidence, and calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

BINS = 15
NO_CLASS = -1  # the prediction for a sample without an answer


@dataclass(frozen=True)
class Outcomes:
    """Predictions for all samples of a split, in its order.

    Attributes:
        labels: `[N]`.
        predictions: `[T, N]`, the class with the largest mean of logits over the steps 1..t.
        confidence: `[T, N]` float32, the probability of that class by softmax of the mean.
        ranks: `[N]`, the rank of the label among the classes by the mean over all steps, from 0; of
            equal means the first class is the greater one, as in predictions.
        steps: at which each sample was decided, from 0, `[N]`; None of a readout that never answers
            before the last step.
        times: at which each sample was decided, float64 `[N]`, +inf if it was not; None of a
            network of time steps.
        every: how many steps of the network each of the T outputs takes: the length of the windows
            of an accumulator, else 1.
    """

    labels: Tensor
    predictions: Tensor
    confidence: Tensor
    ranks: Tensor | None = None
    steps: Tensor | None = None
    times: Tensor | None = None
    every: int = 1

    @staticmethod
    def of(
        mean_logits: Tensor,
        labels: Tensor,
        steps: Tensor | None = None,
        *,
        silent: Tensor | None = None,
        times: Tensor | None = None,
    ) -> Outcomes:
        """Return the outcomes of one batch.

        Args:
            mean_logits: means of the logits over the steps 1..t, `[T, B, K]`.
            labels: `[B]`.
            steps: of the decisions, `[B]`, or None.
            silent: which samples have no answer, `[B]`: their prediction is NO_CLASS, and their
                label the last in rank.
            times: of the decisions, `[B]`, or None.
        """
        # Not the argmax of the softmax, in which different logits can round to the same value.
        predictions, ranks = mean_logits.argmax(2), _ranks(mean_logits[-1], labels)
        if silent is not None:
            predictions = torch.where(silent, NO_CLASS, predictions)
            ranks = torch.where(silent, mean_logits.shape[2], ranks)
        return Outcomes(
            labels.cpu(),
            predictions.cpu(),
            mean_logits.softmax(2).amax(2).float().cpu(),
            ranks.cpu(),
            None if steps is None else steps.cpu(),
            None if times is None else times.double().cpu(),
        )

    @staticmethod
    def concatenate(batches: list[Outcomes], gather: Callable[[Tensor], Tensor]) -> Outcomes:
        """Return the outcomes of all batches.

        Args:
            batches: one or more.
            gather: returns `[..., N]` for the samples of all processes, in order.
        """
        return Outcomes(
            gather(torch.cat([batch.labels for batch in batches])),
            gather(torch.cat([batch.predictions for batch in batches], 1)),
            gather(torch.cat([batch.confidence for batch in batches], 1)),
            gather(torch.cat([batch.ranks for batch in batches if batch.ranks is not None])),
            _concatenated([batch.steps for batch in batches], gather),
            _concatenated([batch.times for batch in batches], gather),
        )

    def network_steps(self, outputs: Tensor) -> Tensor:
        """Return the step of the network, from 0, after which an output from 0 is known."""
        return (outputs + 1) * self.every - 1

    @property
    def correct(self) -> Tensor:
        """Which predictions are correct, `[T, N]`."""
        return self.predictions == self.labels

    def top_k_accuracy(self, k: int) -> float:
        """Return the share of samples whose label is among the k greatest means of all steps."""
        assert self.ranks is not None
        return int((self.ranks < k).sum()) / max(len(self.ranks), 1)

    def confusion(self, classes: int) -> list[list[int]]:
        """Return counts by true class (row) and prediction at the last step (column), without the
        samples that have no answer."""
        pairs = (self.labels * classes + self.predictions[-1])[self.predictions[-1] != NO_CLASS]
        return torch.bincount(pairs, minlength=classes**2).view(classes, classes).tolist()


def _concatenated(parts: list[Tensor | None], gather: Callable[[Tensor], Tensor]) -> Tensor | None:
    known = [part for part in parts if part is not None]
    return gather(torch.cat(known)) if len(known) == len(parts) else None


def _ranks(logits: Tensor, labels: Tensor) -> Tensor:
    own = logits.gather(1, labels[:, None])
    before = torch.arange(logits.shape[1], device=logits.device) < labels[:, None]
    return ((logits > own) | ((logits == own) & before)).sum(1)


def accuracy_over_time(outcomes: Outcomes, points: int = 20) -> list[dict[str, float]]:
    """Return the accuracy of the answers that are given by a time, on a grid of real times.

    The grid is from 0 to the time by which 99 % of the decided samples are decided; what comes
    later is in the accuracy.

    Returns:
        At each time its `time`, the share `decided` of all samples, and their `accuracy`: a sample
        that is not decided yet is wrong.
    """
    assert outcomes.times is not None
    decided = outcomes.times[outcomes.times.isfinite()]
    if not len(decided):
        return []
    last = float(decided.sort().values[min(int(0.99 * len(decided)), len(decided) - 1)])
    correct, samples = outcomes.correct[-1], len(outcomes.times)
    found = []
    for point in range(1, points + 1):
        time = last * point / points
        by_then = outcomes.times <= time
        found.append(
            {
                "time": time,
                "decided": int(by_then.sum()) / samples,
                "accuracy": int((by_then & correct).sum()) / samples,
            }
        )
    return found


def worst_pairs(confusion: list[list[int]]) -> list[tuple[int, int, int]]:
    """Return (count, true class, predicted class) of all errors, the most frequent first."""
    errors = [
        (count, true, predicted)
        for true, row in enumerate(confusion)
        for predicted, count in enumerate(row)
        if count and predicted != true
    ]
    return sorted(errors, key=lambda error: -error[0])


@dataclass(frozen=True)
class Calibration:
    """How far accuracy is from confidence: the expected calibration error

        ECE = Σ_b n_b / N |accuracy_b - confidence_b|

    over bins of equal width of the confidence, (0, 1/M], ..., ((M-1)/M, 1].

    Attributes:
        error: ECE, from 0 to 1.
        bins: `low`, `high`, `samples`, and mean `confidence` and `accuracy` of each bin; the means
            of an empty bin are None.

    Source: Guo et al., ICML 2017, with M = 15.
    """

    error: float
    bins: list[dict[str, Any]]


def calibration(outcomes: Outcomes, bins: int = BINS) -> Calibration:
    """Return how well the last step's confidence is calibrated."""
    confidence, correct = outcomes.confidence[-1].double(), outcomes.correct[-1].double()
    bin_of = (confidence * bins).ceil().long().clamp(1, bins) - 1
    samples = torch.bincount(bin_of, minlength=bins)
    confidence_sums = torch.bincount(bin_of, confidence, minlength=bins)
    correct_counts = torch.bincount(bin_of, correct, minlength=bins)
    error = float((correct_counts - confidence_sums).abs().sum()) / max(len(correct), 1)
    found = []
    for i in range(bins):
        n = int(samples[i])
        found.append(
            {
                "low": i / bins,
                "high": (i + 1) / bins,
                "samples": n,
                "confidence": float(confidence_sums[i]) / n if n else None,
                "accuracy": float(correct_counts[i]) / n if n else None,
            }
        )
    return Calibration(error, found)
