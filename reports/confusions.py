"""The most frequent confusions of classes, each with the most confident of its samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..datasets.base import Split
from ..tasks.outcomes import Outcomes, worst_pairs
from .thumbnails import image_of, thumbnail

MAX_CONFUSIONS = 6


@dataclass(frozen=True)
class Confusion:
    """A pair of classes that is confused, with the most confident of its samples.

    Attributes:
        true, predicted: classes.
        count: samples of class `true` predicted as `predicted`.
        sample, confidence: of the most confident one.
        image: of that sample, as a `data:` address.
    """

    true: int
    predicted: int
    count: int
    sample: int
    confidence: float
    image: str


def worst_confusions(
    outcomes: Outcomes, classes: int, split: Split, full_scale: float
) -> list[Confusion]:
    """Return the most frequent confusions of samples, the worst first.

    Args:
        outcomes: of the samples.
        classes: their number.
        split: the samples.
        full_scale: of their values.
    """
    labels, predictions = outcomes.labels, outcomes.predictions[-1]
    confidence = outcomes.confidence[-1]
    found = []
    for count, true, predicted in worst_pairs(outcomes.confusion(classes))[:MAX_CONFUSIONS]:
        of_pair = (labels == true) & (predictions == predicted)
        index = int(torch.where(of_pair, confidence, -1.0).argmax())
        image = thumbnail(image_of(split, index, full_scale))
        found.append(Confusion(true, predicted, count, index, float(confidence[index]), image))
    return found
