"""Average precision and recall of boxes, by the rules of COCO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2)}
AREAS["large"] = (96.0**2, 1e10)
RECALLS = np.linspace(0, 1, 101)
MAX_OF_CLASS = 100
"""Boxes of one class in one sample; worse ones are left out."""


@dataclass(frozen=True)
class Objects:
    """Boxes of samples, those of a sample in their order.

    Attributes:
        sample: the number of the sample, `[M]`.
        label: the class, `[M]`.
        boxes: (x1, y1, x2, y2), float64 `[M, 4]`.
        score: of boxes that a network found, `[M]`; of true ones it is not used.
    """

    sample: np.ndarray
    label: np.ndarray
    boxes: np.ndarray
    score: np.ndarray

    def of_class(self, label: int, *, best_first: bool) -> Objects:
        """Return those of a class by sample, those of a sample in their order or the best first."""
        return self.take(self.order_of_class(label, best_first=best_first))

    def order_of_class(self, label: int, *, best_first: bool) -> np.ndarray:
        """Return the indices of those of a class, in the order of `of_class`."""
        chosen = np.flatnonzero(self.label == label)
        rank = -self.score[chosen] if best_first else np.zeros(len(chosen))
        return chosen[np.lexsort((rank, self.sample[chosen]))]

    def take(self, chosen: np.ndarray) -> Objects:
        """Return those of a mask, or of indices in their order."""
        return Objects(
            self.sample[chosen], self.label[chosen], self.boxes[chosen], self.score[chosen]
        )

    def ranks(self) -> np.ndarray:
        """Return the rank of each in its sample, from 0; they are sorted by sample."""
        return np.arange(len(self.sample)) - np.searchsorted(self.sample, self.sample)


@dataclass(frozen=True)
class Curves:
    """Precision and recall of each class; NaN of a class without a true box in the range of areas.

    Attributes:
        precision: after interpolation at each recall of 0, .01, ..., 1, `[thresholds, 101, classes,
            areas]`.
        recall: of the `counts` best boxes of a class in a sample, `[thresholds, classes, areas,
            counts]`.
    """

    precision: np.ndarray
    recall: np.ndarray


def curves(
    found: Objects,
    truth: Objects,
    classes: int,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    areas: Sequence[tuple[float, float]] = tuple(AREAS.values()),
    counts: Sequence[int] = (1, 10, MAX_OF_CLASS),
) -> Curves:
    """Return the curves of precision over recall.

    From the highest score on, a box is right if it overlaps a true one of its class and sample that
    no better box has taken, by a threshold (intersection over union) or more; it takes the one
    that it overlaps most. True boxes out of a range of areas do not count, nor does a box that
    takes one of them, or that takes none and is out of the range.

    Args:
        found, truth: what the network found, and what there is.
        classes: their number K.
        thresholds: of the overlap.
        areas: ranges of the area in pixels.
        counts: ascending, for the recall.

    Source: the evaluation of COCO, github.com/cocodataset/cocoapi; these are its rules without
    crowds.
    """
    precision = np.full((len(thresholds), len(RECALLS), classes, len(areas)), np.nan)
    recall = np.full((len(thresholds), classes, len(areas), len(counts)), np.nan)
    bounds = np.array(areas)
    for label in range(classes):
        true = truth.of_class(label, best_first=False)
        if not len(true.sample):
            continue
        ours = found.of_class(label, best_first=True)
        ours = ours.take(ours.ranks() < MAX_OF_CLASS)
        ranks = ours.ranks()
        taken, ignored = _match(ours, ranks, true, np.array(thresholds), bounds)
        counted = (~_outside(true.boxes, bounds)).sum(1)
        order = np.argsort(-ours.score, kind="stable")
        for a, positives in enumerate(counted.tolist()):
            if not positives:
                continue
            for n, count in enumerate(counts):
                chosen = order[ranks[order] < count]
                right = np.cumsum(taken[a][:, chosen] & ~ignored[a][:, chosen], 1)
                recall[:, label, a, n] = right[:, -1] / positives if len(chosen) else 0
            wrong = np.cumsum(~taken[a][:, order] & ~ignored[a][:, order], 1)
            right = np.cumsum(taken[a][:, order] & ~ignored[a][:, order], 1)
            for t in range(len(thresholds)):
                precision[t, :, label, a] = _interpolated(right[t], wrong[t], positives)
    return Curves(precision, recall)


def judged(found: Objects, truth: Objects, threshold: float) -> np.ndarray:
    """Return what each box counts for, at one overlap and any area: 1 right, -1 wrong, 0 nothing.

    It depends on the sample alone, so that samples may be judged one after another, and
    `precision_of` needs their classes and scores only.
    """
    verdict = np.zeros(len(found.sample))
    for label in np.unique(found.label):
        chosen = found.order_of_class(label, best_first=True)
        chosen = chosen[found.take(chosen).ranks() < MAX_OF_CLASS]
        ours, true = found.take(chosen), truth.of_class(label, best_first=False)
        taken, _ = _match(ours, ours.ranks(), true, np.array([threshold]), np.array([AREAS["all"]]))
        verdict[chosen] = np.where(taken[0, 0], 1.0, -1.0)
    return verdict


def precision_of(
    label: np.ndarray, score: np.ndarray, verdict: np.ndarray, positives: np.ndarray
) -> np.ndarray:
    """Return the precision of judged boxes, `[101, classes]`: that of `curves` at one overlap.

    Args:
        label, score, verdict: class, score and `judged` of each box, `[M]`, by sample.
        positives: true boxes of each class, `[classes]`.
    """
    precision = np.full((len(RECALLS), len(positives)), np.nan)
    for k in np.flatnonzero(positives):
        chosen = np.flatnonzero((label == k) & (verdict != 0))
        right = verdict[chosen[np.argsort(-score[chosen], kind="stable")]] > 0
        precision[:, k] = _interpolated(np.cumsum(right), np.cumsum(~right), int(positives[k]))
    return precision


def mean(values: np.ndarray) -> float | None:
    """Return the mean of the values that are not NaN; None if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _interpolated(right: np.ndarray, wrong: np.ndarray, positives: int) -> np.ndarray:
    """Return the greatest precision at each recall or a greater one, `[101]`; 0 beyond them."""
    precision = right / (right + wrong + np.spacing(1))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(right / positives, RECALLS, side="left")
    return np.append(best, 0.0)[np.minimum(at, len(best))]


def _outside(boxes: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Return which boxes `[M, 4]` are out of each range of areas `[A, 2]`, `[A, M]`."""
    size = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return (size < areas[:, :1]) | (size > areas[:, 1:])


def _match(
    found: Objects, ranks: np.ndarray, truth: Objects, thresholds: np.ndarray, areas: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return which boxes of a class take a true one, and which do not count.

    All samples advance together from their best box to their worst.

    Args:
        found: M boxes, sorted by sample and score.
        ranks: of them in their samples.
        truth: sorted by sample.
        thresholds: of the overlap, `[T]`.
        areas: `[A, 2]`.

    Returns:
        Two masks `[A, T, M]`.
    """
    samples, counts = np.unique(found.sample, return_counts=True)
    order = np.argsort(-counts, kind="stable")  # samples with boxes left are the first ones
    samples, counts = samples[order], counts[order]
    first = np.searchsorted(found.sample, samples)
    begin, end = (np.searchsorted(truth.sample, samples, side) for side in ("left", "right"))
    width = int((end - begin).max(initial=0))
    shape = (len(areas), len(thresholds), len(found.sample))
    taken, ignored = np.zeros(shape, bool), np.zeros(shape, bool)
    if width:
        index = begin[:, None] + np.arange(width)
        inside = index < end[:, None]
        index = np.minimum(index, len(truth.sample) - 1)
        true = truth.boxes[index]  # [S, G, 4]
        outside = _outside(truth.boxes, areas)[:, index]  # [A, S, G]
        free = np.broadcast_to(inside, (*shape[:2], *inside.shape)).copy()
        lowest = np.minimum(thresholds, 1 - 1e-10)[:, None, None]
        for rank in range(int(ranks.max(initial=-1)) + 1):
            left = int((counts > rank).sum())
            now = first[:left] + rank
            overlap = _overlaps(found.boxes[now], true[:left])
            fits = free[:, :, :left] & (overlap >= lowest)  # [A, T, S, G]
            counting = fits & ~outside[:, None, :left]
            fits = np.where(counting.any(-1, keepdims=True), counting, fits)
            # Of equal overlaps the last is taken.
            best = width - 1 - np.where(fits, overlap, -1.0)[..., ::-1].argmax(-1)
            some = fits.any(-1)
            taken[:, :, now] = some
            a, t, s = np.nonzero(some)
            free[a, t, s, best[a, t, s]] = False
            ignored[a, t, now[s]] = outside[a, s, best[a, t, s]]
    ignored |= ~taken & _outside(found.boxes, areas)[:, None]
    return taken, ignored


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersection over union of boxes `[S, 4]` with each of `[S, G, 4]`, `[S, G]`."""
    a = boxes[:, None]
    low = np.maximum(a[..., :2], others[..., :2])
    sides = (np.minimum(a[..., 2:], others[..., 2:]) - low).clip(min=0)
    shared = sides[..., 0] * sides[..., 1]
    union = _area(a) + _area(others) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
