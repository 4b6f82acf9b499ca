"""The results of a sweep, derived from the records of its members."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.files import write_json, write_text
from .comparison import compare
from .definition import FORMAT, Definition
from .folder import SweepFolder
from .grid import Point
from .plan import Member, Plan
from .pool import Failure
from .results_page import page

FIGURES = (
    "accuracy",
    "loss",
    "spikes_per_sample",
    "spike_rate",
    "validation_accuracy",
    "training_seconds",
    "samples_per_second",
)

Records = dict[str, dict[str, Any]]


def read_records(plan: Plan, folder: SweepFolder, split: str) -> Records:
    """Return the records of the finished members, by name."""
    found = {member.name: folder.record(member.name, split) for member in plan.members}
    return {name: record for name, record in found.items() if record is not None}


def summarise(
    definition: Definition,
    plan: Plan,
    folder: SweepFolder,
    failures: Mapping[str, Failure],
) -> dict[str, Any]:
    """Return the results of a sweep, the content of `results.json`."""
    records = read_records(plan, folder, definition.split)
    groups = by_point(plan, records)
    return {
        "format": FORMAT,
        "sweep": str(folder.path),
        "command": definition.command(),
        "recipe": definition.name,
        "split": definition.split,
        "keys": definition.keys,
        "axes": [list(axis.keys) for axis in definition.axes],
        "seeds": list(definition.seeds),
        "total": len(plan.members),
        "points": [
            {"settings": dict(point), **_summary([record for _, record in members])}
            for point, members in groups
        ],
        "comparisons": compare(definition, plan, records),
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


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Return the mean and the sample standard deviation; None for too few values."""
    return {
        "mean": statistics.fmean(values) if values else None,
        "deviation": statistics.stdev(values) if len(values) > 1 else None,
    }


def _summary(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    per_step = zip(*(record["accuracy_per_step"] for record in records), strict=True)
    return {
        "n": len(records),
        "seeds": [record["seed"] for record in records],
        "steps": sorted({record["steps"] for record in records}),
        "parameters": sorted({record["parameters"] for record in records}),
        **{name: spread([record[name] for record in records]) for name in FIGURES},
        "accuracy_per_step": [statistics.fmean(values) for values in per_step],
    }
