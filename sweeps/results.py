"""The results of a sweep, derived from the records of its members."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.files import write_json, write_text
from ..core.metric import Metric
from .comparison import compare
from .definition import FORMAT, Definition
from .folder import SweepFolder
from .grid import Point
from .plan import Member, Plan
from .pool import Failure
from .results_page import page

SPIKES = ("spikes_per_sample", "spike_rate")

Records = dict[str, dict[str, Any]]


def read_records(plan: Plan, folder: SweepFolder, split: str) -> Records:
    """Return the records of the finished members, by name."""
    found = {member.name: folder.record(member.name, split) for member in plan.members}
    records = {name: record for name, record in found.items() if record is not None}
    metric = metric_of(plan, records)
    return {
        name: record
        for name, record in records.items()
        if Metric.from_document(record.get("metric")) == metric
    }


def summarise(
    definition: Definition,
    plan: Plan,
    folder: SweepFolder,
    failures: Mapping[str, Failure],
) -> dict[str, Any]:
    """Return the results of a sweep, the content of `results.json`."""
    records = read_records(plan, folder, definition.split)
    groups = by_point(plan, records)
    metric = metric_of(plan, records)
    others = other_metrics(metric, records)
    summaries = [_summary([each for _, each in members], metric, others) for _, members in groups]
    ranks = ranked([each[metric.name]["mean"] for each in summaries], metric)
    return {
        "format": FORMAT,
        "sweep": str(folder.path),
        "command": definition.command(),
        "recipe": definition.name,
        "split": definition.split,
        "metric": metric.document(),
        "other_metrics": others,
        "keys": definition.keys,
        "axes": [list(axis.keys) for axis in definition.axes],
        "seeds": list(definition.seeds),
        "total": len(plan.members),
        "points": [
            {"settings": dict(point), "rank": rank, **summary}
            for (point, _), rank, summary in zip(groups, ranks, summaries, strict=True)
        ],
        "comparisons": compare(definition, plan, records, metric),
        "members": [
            {"name": member.name, "settings": dict(member.point), **records[member.name]}
            for member in plan.members
            if member.name in records
        ],
        "failed": [{"name": name, **failure.as_dict()} for name, failure in failures.items()],
        "missing": [
            member.name
            for member in plan.members
            if member.name not in records and member.name not in failures
        ],
        "left_out": [{"settings": dict(point), "why": faults} for point, faults in plan.impossible],
    }


def write_results(results: dict[str, Any], folder: SweepFolder) -> None:
    """Write `results.json` and `results.md`.

    Raises:
        AsnnError: a file cannot be written.
    """
    write_json(folder.results, results)
    write_text(folder.report, page(results))


def by_point(
    plan: Plan, records: Records
) -> list[tuple[Point, list[tuple[Member, dict[str, Any]]]]]:
    """Return the points in grid order, each with its finished members and their records."""
    groups: dict[int, tuple[Point, list[tuple[Member, dict[str, Any]]]]] = {}
    for member in sorted(plan.members, key=lambda each: each.index):
        _, members = groups.setdefault(member.index, (member.point, []))
        if member.name in records:
            members.append((member, records[member.name]))
    return list(groups.values())


def ranked(means: Sequence[float | None], metric: Metric) -> list[int | None]:
    """Return the rank of each mean: 1 is the best, equal means share theirs, None has none.

    >>> ranked([0.2, 0.1, None, 0.2], Metric("mse", greater_is_better=False))
    [2, 1, None, 2]
    """
    keys = [None if mean is None else metric.rank(mean) for mean in means]
    known = [key for key in keys if key is not None]
    return [None if key is None else 1 + sum(other > key for other in known) for key in keys]


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Return the mean and the sample standard deviation; None for too few values."""
    return {
        "mean": statistics.fmean(values) if values else None,
        "deviation": statistics.stdev(values) if len(values) > 1 else None,
    }


def metric_of(plan: Plan, records: Records) -> Metric:
    """Return the primary metric of the members: accuracy of records of 0.1.0, which name none."""
    for record in records.values():
        return Metric.from_document(record.get("metric"))
    return plan.metric


def other_metrics(metric: Metric, records: Records) -> list[str]:
    """Return the names of the metrics that the task computes after each epoch, but the primary."""
    names = [name for record in records.values() for name in record.get("tracked", [])]
    return [name for name in dict.fromkeys(names) if name != metric.name]


def _summary(
    records: Sequence[dict[str, Any]], metric: Metric, others: Sequence[str]
) -> dict[str, Any]:
    figures = (
        *(metric.name, *others, "loss", *SPIKES, f"validation_{metric.name}"),
        *("training_seconds", "samples_per_second"),
    )
    per_step = f"{metric.name}_per_step"
    series = [record.get(per_step, []) for record in records]
    by_step = zip(*series, strict=True) if len(set(map(len, series))) == 1 else ()
    return {
        "n": len(records),
        "seeds": [record["seed"] for record in records],
        "steps": sorted({record["steps"] for record in records}),
        "parameters": sorted({record["parameters"] for record in records}),
        **{name: spread(_known(name, records)) for name in dict.fromkeys(figures)},
        per_step: [None if None in values else statistics.fmean(values) for values in by_step],
    }


def _known(name: str, records: Sequence[dict[str, Any]]) -> list[float]:
    """Return a figure of the records that have it; a network without spikes has no spike rate."""
    values = [
        None if name in SPIKES and record.get("spike_rates") == {} else record.get(name)
        for record in records
    ]
    return [value for value in values if value is not None]
