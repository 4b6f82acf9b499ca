"""Significance of differences: paired over seeds, Student's t-test, Holm's correction.

A pair is two trainings that differ in one axis of the grid only; the seed is the same. With the
differences d_1..d_n of their primary metrics, mean m and sample deviation s:

    t = m / (s / √n),    interval = m ± t_{0.975, n-1} · s / √n,    p = 2 · P(T_{n-1} > |t|)

Source: Student, "The probable error of a mean", Biometrika 6 (1908); S. Holm, "A simple
sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979).
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.metric import ACCURACY, Metric
from .definition import Definition
from .plan import Plan

CONFIDENCE = 0.95
NO_SPREAD = 1e-12  # of the size of the values: rounding errors of equal differences

TOO_FEW = "fewer than 2 pairs: their spread is unknown (more --seeds)"
ALL_EQUAL = "all differences are equal: they have no spread"


def paired(differences: Sequence[float], size: float = 1.0) -> dict[str, Any]:
    """Return mean, deviation, 95 % interval, t and p of paired differences, for JSON.

    Args:
        differences: of the pairs.
        size: of the values that were subtracted, whose rounding errors are no spread.

    The interval, t and p of a single pair, or of pairs with equal differences, are None; `why` is
    the reason.

    >>> found = paired([1.0, 2.0, 3.0])
    >>> found["difference"], round(found["t"], 4), round(found["p"], 4)
    (2.0, 3.4641, 0.0742)
    """
    n = len(differences)
    found: dict[str, Any] = {
        "n": n,
        "difference": statistics.fmean(differences) if n else None,
        "deviation": statistics.stdev(differences) if n > 1 else None,
        "low": None,
        "high": None,
        "t": None,
        "p": None,
        "why": None,
    }
    if n < 2:
        return {**found, "why": TOO_FEW}
    if found["deviation"] <= NO_SPREAD * size:
        return {**found, "why": ALL_EQUAL}
    from scipy.special import stdtr, stdtrit

    error = found["deviation"] / math.sqrt(n)
    t = found["difference"] / error
    margin = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * error
    found.update(low=found["difference"] - margin, high=found["difference"] + margin)
    return {**found, "t": t, "p": 2 * float(stdtr(n - 1, -abs(t)))}


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Return p values corrected for multiple comparisons; None stays None and is not counted.

    The k-th smallest of m, k from 0, is multiplied by m - k; each is at least the one before it and
    at most 1.

    >>> holm([0.01, 0.5, 0.02])
    [0.03, 0.5, 0.04]
    """
    order = sorted((p, index) for index, p in enumerate(values) if p is not None)
    corrected: list[float | None] = [None] * len(values)
    largest = 0.0
    for k, (p, index) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - k) * p))
        corrected[index] = largest
    return corrected


def compare(
    definition: Definition,
    plan: Plan,
    records: Mapping[str, Mapping[str, Any]],
    metric: Metric = ACCURACY,
) -> dict[str, list[dict[str, Any]]]:
    """Return the comparisons of a sweep: each value of an axis with the first one.

    Args:
        definition: of the sweep.
        plan: its members.
        records: of the finished members, by name.
        metric: whose values are compared.

    Returns:
        `single`: with all other keys equal, paired over seeds; a comparison is missing if a point
        was left out. `pooled`: over all other settings and seeds. `p_holm` is corrected over the
        comparisons of its list.
    """
    values: dict[int, dict[int, float]] = {}
    for member in plan.members:
        of_point = values.setdefault(member.index, {})
        if member.name in records:
            of_point[member.seed] = records[member.name][metric.name]
    all_values = [abs(each) for of_point in values.values() for each in of_point.values()]
    size = 1.0 if metric.percent else max(all_values, default=0.0)
    sizes = [len(axis.values) for axis in definition.axes]
    coordinates = list(itertools.product(*map(range, sizes)))
    index_of = {each: index for index, each in enumerate(coordinates)}

    single, pooled = [], []
    for number, axis in enumerate(definition.axes):
        points = axis.points()
        for value in range(1, sizes[number]):
            heading = {"from": dict(points[0]), "to": dict(points[value])}
            all_differences: list[float] = []
            settings = 0
            for first in coordinates:
                if first[number] != 0:
                    continue
                before = values.get(index_of[first])
                other = (*first[:number], value, *first[number + 1 :])
                after = values.get(index_of[other])
                if before is None or after is None:
                    continue
                seeds = [seed for seed in definition.seeds if seed in before and seed in after]
                differences = [after[seed] - before[seed] for seed in seeds]
                others = {
                    key: setting
                    for each, chosen in zip(definition.axes, first, strict=True)
                    if each is not axis
                    for key, setting in each.points()[chosen]
                }
                single.append(
                    {**heading, "others": others, "seeds": seeds, **paired(differences, size)}
                )
                all_differences += differences
                settings += bool(differences)
            pooled.append({**heading, "settings": settings, **paired(all_differences, size)})
    for family in (single, pooled):
        for found, p in zip(family, holm([each["p"] for each in family]), strict=True):
            found["p_holm"] = p
    return {"single": single, "pooled": pooled}
