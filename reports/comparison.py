"""What the page shows of several runs beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.text import printable
from . import cost_figures
from .collecting import Document, RunReport
from .view import FORMS, Pictures
from .wording import UNKNOWN, listed, short

# Main figures in the table, and which of them is best; None where that is no question.
COLUMNS: dict[str, Any] = {
    "accuracy": max,
    "picojoules_per_sample": min,
    "spikes_per_sample": min,
    "calibration_error": min,
    "accumulates": None,
    "multiply_accumulates": None,
    "parameters": None,
}
HEADS = {
    "picojoules_per_sample": "energy",
    "spikes_per_sample": "spikes",
    "calibration_error": "ECE",
    "accumulates": "AC",
    "multiply_accumulates": "MAC",
}
MOST_LABEL = 28


def comparison(
    reports: Sequence[RunReport], labels: Sequence[str], differences: dict[str, list[Any]]
) -> Document:
    """Return what the template of a comparison is given.

    Args:
        reports: two or more.
        labels: what they are called.
        differences: keys of the configuration that differ, with the value in each run.
    """
    picture = Pictures("all")
    found = [report.figures() for report in reports]
    best = {key: _best([each[key] for each in found], of) for key, of in COLUMNS.items()}
    rows = [
        {
            "name": label,
            "code": report.network["coding"],
            "neuron": report.network["neuron"],
            "steps": report.steps,
            "cells": [
                {
                    "key": key,
                    "value": each[key],
                    "text": (short if of is None else FORMS[key][1])(each[key]),
                    "best": each[key] == best[key],
                }
                for key, of in COLUMNS.items()
            ],
        }
        for label, report, each in zip(labels, reports, found, strict=True)
    ]
    return {
        "heads": [HEADS.get(key, FORMS[key][0]) for key in COLUMNS],
        "rows": rows,
        "lead": _lead(rows),
        "by_step": picture(
            cost_figures.accuracy_of_runs(
                dict(zip(labels, (r.result.accuracy_per_step for r in reports), strict=True))
            )
        ),
        "tradeoff": picture(
            cost_figures.tradeoff_of_runs(
                dict(zip(labels, (r.exits for r in reports), strict=True))
            )
        ),
        "differences": [
            (key, [UNKNOWN if value is None else printable(str(value)) for value in values])
            for key, values in differences.items()
        ],
        "same_data": len({report.data.fingerprint for report in reports}) == 1,
    }


def labels_of(reports: Sequence[RunReport], differences: dict[str, list[Any]]) -> list[str]:
    """Return short names that tell runs apart: by what differs, else their folders' names."""
    for keys in (
        [key for key in differences if key in ("coding.name", "coding.steps", "model.neuron")],
        ["train.seed"],
    ):
        wanted = [key for key in keys if key in differences]
        named = [
            ", ".join(_said(key, differences[key][i]) for key in wanted)
            for i in range(len(reports))
        ]
        if len(set(named)) == len(named) and max(map(len, named)) <= MOST_LABEL:
            return named
    names = [printable(report.name) for report in reports]
    return names if len(set(names)) == len(names) else [str(report.told.path) for report in reports]


def _said(key: str, value: Any) -> str:
    return printable(str(value)) if isinstance(value, str) else f"{key.partition('.')[2]} {value}"


def _best(values: Sequence[float], of: Any) -> float | None:
    return of(values) if of is not None and len(set(values)) > 1 else None


def _lead(rows: Sequence[Document]) -> str:
    """Return in words which runs are best at what."""
    said = []
    for place, what in ((0, "most accurate"), (1, "cheapest")):
        best = [
            (row["name"], row["cells"][place]["text"])
            for row in rows
            if row["cells"][place]["best"]
        ]
        if best:
            said.append(f"{listed([name for name, _ in best])} is {what} ({best[0][1]})")
    return f"{'; '.join(said)}." if said else "All runs come to the same figures."
