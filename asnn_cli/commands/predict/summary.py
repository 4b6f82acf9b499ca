"""What all answers have in common, counted as they come."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ....core.errors import AsnnError
    from ....measure.prediction import Prediction

MAX_ERRORS = 10
MAX_FIRST = 16  # answers for a picture


class Summary:
    """Counts answers.

    Attributes:
        answered, failed: number of inputs with and without an answer.
        errors: the first errors.
        changes: how many inputs were changed, by how.
        classes: how many have each class.
        expected, correct: how many have a known class, and how many of them got it.
        reasons: why figures are not known, by name.
        first: the first answers.
    """

    def __init__(self) -> None:
        self.answered = self.failed = self.expected = self.correct = 0
        self.errors: list[AsnnError] = []
        self.changes: Counter[str] = Counter()
        self.classes: Counter[str] = Counter()
        self.reasons: dict[str, str] = {}
        self.first: list[Prediction] = []

    def add(self, prediction: Prediction) -> None:
        """Count an answer."""
        if prediction.error is not None:
            self.failed += 1
            if len(self.errors) < MAX_ERRORS:
                self.errors.append(prediction.error)
            return
        self.answered += 1
        if len(self.first) < MAX_FIRST:
            self.first.append(prediction)
        self.changes.update(prediction.changes)
        self.reasons |= prediction.reasons
        if prediction.label is not None:
            self.classes[prediction.label] += 1
        if prediction.correct is not None:
            self.expected += 1
            self.correct += prediction.correct
