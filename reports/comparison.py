"""The comparison of several runs on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.text import printable
from . import cost_figures
from .collect import Document, RunReport
from .view import MAIN_FIGURES, SvgWriter
from .wording import UNKNOWN, listed, short_number

# Main figures in the table, and which value is best; None if none is better.
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
# Settings that make a label, in this order, and their form.
LABEL_SETTINGS = {
    "coding.name": "{}",
    "model.neuron": "{}",
    "coding.steps": "T {}",
    "train.seed": "seed {}",
}


def comparison(
    reports: Sequence[RunReport], labels: Sequence[str], differences: dict[str, list[Any]]
) -> Document:
    """Return the values for the template of a comparison.

    Args:
        reports: two or more.
        labels: of the reports.
        differences: keys of the configuration that differ, with the value in each run.
    """
    svg = SvgWriter("all")
    known = [
        (label, report.tradeoff)
        for label, report in zip(labels, reports, strict=True)
        if report.energy["reason"] is None
    ]
    same_data = len({report.samples for report in reports}) == 1
    found = [_figures(report) for report in reports]
    best = {
        key: _best([each[key] for each in found], of if same_data else None)
        for key, of in COLUMNS.items()
    }
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
                    "text": (short_number if of is None else MAIN_FIGURES[key][1])(each[key]),
                    "best": best[key] is not None and each[key] == best[key],
                }
                for key, of in COLUMNS.items()
            ],
        }
        for label, report, each in zip(labels, reports, found, strict=True)
    ]
    return {
        "heads": [HEADS.get(key, MAIN_FIGURES[key][0]) for key in COLUMNS],
        "rows": rows,
        "lead": _lead(rows) if same_data else "The runs were evaluated on different samples.",
        "by_step": svg(
            cost_figures.accuracy_of_runs(
                list(zip(labels, (r.result.accuracy_per_step for r in reports), strict=True))
            )
        ),
        "tradeoff": svg(cost_figures.tradeoff_of_runs(known)) if known else None,
        "differences": [
            (key, [UNKNOWN if value is None else printable(str(value)) for value in values])
            for key, values in differences.items()
        ],
        "same_data": same_data,
    }


def labels_of(reports: Sequence[RunReport], differences: dict[str, list[Any]]) -> list[str]:
    """Return short, distinct names of runs.

    They are the settings of `LABEL_SETTINGS` that differ; if those are equal in two runs, the parts
    that differ in the names of their folders or in their paths.
    """
    settings = [
        [
            form.format(UNKNOWN if differences[key][i] is None else differences[key][i])
            for key, form in LABEL_SETTINGS.items()
            if len(set(map(str, differences.get(key, [])))) > 1
        ]
        for i in range(len(reports))
    ]
    names = [report.name for report in reports]
    paths = [str(report.path) for report in reports]
    candidates = (
        [", ".join(parts) for parts in settings],
        _differing_parts(names, ","),
        names,
        _differing_parts(paths, "/"),
        paths,
    )
    texts = [[printable(label) for label in labels] for labels in candidates]
    return next((each for each in texts if all(each) and len(set(each)) == len(each)), texts[-1])


def _differing_parts(names: Sequence[str], separator: str) -> list[str]:
    """Return names without the parts that all of them share."""
    parts = [name.split(separator) for name in names]
    common = set.intersection(*map(set, parts))
    return [separator.join(part for part in each if part not in common) for each in parts]


def _figures(report: RunReport) -> Document:
    """Return the main figures; spikes are None for a network without spiking neurons."""
    found = report.figures()
    return found if report.result.spike_rates else {**found, "spikes_per_sample": None}


def _best(values: Sequence[float | None], of: Any) -> float | None:
    known = [value for value in values if value is not None]
    return of(known) if of is not None and len(set(known)) > 1 else None


def _lead(rows: Sequence[Document]) -> str:
    """Return in words which runs are the most accurate and the cheapest."""
    sentences = []
    for column, what in ((0, "most accurate"), (1, "cheapest")):
        best = [
            (row["name"], row["cells"][column]["text"])
            for row in rows
            if row["cells"][column]["best"]
        ]
        if best:
            verb = "is" if len(best) == 1 else "are"
            sentences.append(f"{listed([name for name, _ in best])} {verb} {what} ({best[0][1]})")
    return (
        f"{'; '.join(sentences)}." if sentences else "All runs have the same accuracy and energy."
    )
