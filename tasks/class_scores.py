"""Precision, recall and F1 of each class, and their means."""

from __future__ import annotations

from typing import Any

SCORES = ("precision", "recall", "f1")
NEVER_PREDICTED = "never predicted"
NOT_IN_THE_DATA = "not in the data"


def class_scores(confusion: list[list[int]], classes: list[str] | None = None) -> dict[str, Any]:
    """Return the scores of each class k, and their means over the classes:

        precision  TP / (TP + FP)       of what is predicted as k, the share that is k
        recall     TP / (TP + FN)       of what is k, the share that is predicted as k
        f1         2 TP / (2 TP + FP + FN)
        macro      mean over the classes        weighted   mean with the weights TP + FN

    A score with the denominator 0 is None, and `undefined` says why; the means leave it out, and
    are None if nothing is left.

    Args:
        confusion: counts by true class (row) and prediction (column), `[K][K]`.
        classes: their names; numbers by default.

    Returns:
        `by_class` (`class`, `support` TP + FN, `predicted` TP + FP, the scores, `undefined`: the
        reason by score), `macro` and `weighted`.
    """
    names = classes or [str(k) for k in range(len(confusion))]
    columns = [sum(column) for column in zip(*confusion, strict=True)]
    rows = [
        _of_class(name, confusion[k][k], sum(confusion[k]), columns[k])
        for k, name in enumerate(names)
    ]
    return {
        "by_class": rows,
        "macro": {score: _mean(rows, score, [1] * len(rows)) for score in SCORES},
        "weighted": {score: _mean(rows, score, [r["support"] for r in rows]) for score in SCORES},
    }


def _of_class(name: str, hits: int, support: int, predicted: int) -> dict[str, Any]:
    undefined = {} if predicted else {"precision": NEVER_PREDICTED}
    if not support:
        undefined["recall"] = NOT_IN_THE_DATA
    if not support + predicted:
        undefined["f1"] = f"{NOT_IN_THE_DATA}, {NEVER_PREDICTED}"
    return {
        "class": name,
        "support": support,
        "predicted": predicted,
        "precision": hits / predicted if predicted else None,
        "recall": hits / support if support else None,
        "f1": 2 * hits / (support + predicted) if support + predicted else None,
        "undefined": undefined,
    }


def _mean(rows: list[dict[str, Any]], score: str, weights: list[int]) -> float | None:
    known = [(r[score], w) for r, w in zip(rows, weights, strict=True) if r[score] is not None]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None
