"""The comparison of several runs on the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..core.metric import ACCURACY, Metric
from ..core.text import printable
from . import cost_figures
from .collect import Document, RunReport
from .drawing import Drawing
from .metrics_view import main_figures, metric_text
from .view import SvgWriter
from .wording import UNKNOWN, listed, short_number

# Main figures in the table beside the metric, and which value is best; None if none is better.
COSTS: dict[str, Any] = {
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
    same_data = len({report.samples for report in reports}) == 1
    same_task = len({(report.task.name, report.metric) for report in reports}) == 1
    labelled = list(zip(labels, reports, strict=True)) if same_task else []
    # Each figure has all runs, some without values, so that a run has one colour in all of them.
    known = [
        (label, report.tradeoff if report.energy["reason"] is None else [])
        for label, report in labelled
    ]
    by_step = [(label, [] if report.has_times else _by_step(report)) for label, report in labelled]
    over_time = [(label, report.over_time) for label, report in labelled]
    metric = reports[0].metric if same_task else None
    columns = _columns(reports, metric)
    found = [_figures(report) for report in reports]
    best = {
        key: _best([each.get(key) for each in found], of if same_data and same_task else None)
        for key, of in columns.items()
    }
    forms = [main_figures(report) for report in reports]
    words = {report.data.spec.one for report in reports}
    sample, many = (words.pop(), reports[0].data.spec.many) if len(words) == 1 else _SAMPLE
    drawn = {
        "steps": _drawn(cost_figures.accuracy_of_runs, by_step),
        "real time": _drawn(cost_figures.over_time_of_runs, over_time),
        "energy": _drawn(partial(cost_figures.tradeoff_of_runs, sample=sample), known),
    }
    curves = {against: drawing for against, drawing in drawn.items() if drawing is not None}
    rows = [
        {
            "name": label,
            "code": report.network["coding"],
            "neuron": report.network["neuron"],
            "steps": "exact times" if report.has_times else report.steps,
            "cells": [
                {
                    "key": key,
                    "value": each.get(key),
                    "text": _text(each, key, form),
                    "best": best[key] is not None and each.get(key) == best[key],
                }
                for key in columns
            ],
        }
        for label, report, each, form in zip(labels, reports, found, forms, strict=True)
    ]
    return {
        "heads": [HEADS.get(key) or forms[0].get(key, (key, None))[0] for key in columns],
        "rows": rows,
        "lead": _lead(rows, metric, reports, same_data),
        "many": many,
        "curves": [svg(drawing) for drawing in curves.values()],
        "curves_caption": _curves_caption(list(curves)),
        "differences": [
            (key, [UNKNOWN if value is None else printable(str(value)) for value in values])
            for key, values in differences.items()
        ],
        "same_data": same_data,
        "different_tasks": None if same_task else _different_tasks(reports),
    }


def _by_step(report: RunReport) -> list[tuple[int, float]]:
    """Return the steps after which an output is known, with the accuracy after them."""
    values = report.per_step().get("accuracy", [])
    return list(zip(report.output_steps, values, strict=True)) if values else []


def _drawn(draw: Callable[[Any], Drawing], runs: Sequence[tuple[str, Any]]) -> Drawing | None:
    """Return a figure of runs with their values; None if none has values."""
    return draw(runs) if any(values for _, values in runs) else None


def _curves_caption(against: Sequence[str]) -> str:
    """Return what the figures of accuracy show."""
    said = f"Accuracy of the answer so far, against {listed(against)}."
    if "energy" in against:
        said += " Against energy, the large mark stands for all steps."
    return said


_SAMPLE = ("sample", "samples")
_METRIC = "metric"


def _columns(reports: Sequence[RunReport], metric: Metric | None) -> dict[str, Any]:
    """Return the columns of the table, and which value of each is best.

    Args:
        reports: of the runs.
        metric: that all of them have; None if they have different tasks.
    """
    if metric is None:
        of_metric: dict[str, Any] = {_METRIC: None}
    else:
        of_metric = {metric.name: max if metric.greater_is_better else min}
        others = dict.fromkeys(name for report in reports for name in report.task.tracked)
        of_metric |= {name: None for name in others if name != metric.name}
    costs = dict(COSTS)
    if not all(report.has_classes for report in reports):
        del costs["calibration_error"]
    return {**of_metric, **costs}


def _text(found: Document, key: str, forms: dict[str, Any]) -> str:
    """Return the text of a cell."""
    if key == _METRIC:
        return str(found["metric_text"])
    value = found.get(key)
    if key in COSTS and COSTS[key] is None:
        return short_number(value)
    return UNKNOWN if value is None else str(forms[key][1](value))


def _different_tasks(reports: Sequence[RunReport]) -> str:
    """Return which tasks and metrics the runs have."""
    named = [f"{report.task.name} ({report.metric.title})" for report in reports]
    return listed([printable(each) for each in dict.fromkeys(named)])


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
            and not (key == "coding.steps" and report.has_times)
        ]
        for i, report in enumerate(reports)
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
    """Return the main figures, and the primary metric in words."""
    found = report.figures()
    value = metric_text(report.metric, found[report.metric.name])
    return {**found, "metric_text": f"{report.metric.title} {value}"}


def _best(values: Sequence[float | None], of: Any) -> float | None:
    known = [value for value in values if value is not None]
    return of(known) if of is not None and len(set(known)) > 1 else None


def _lead(
    rows: Sequence[Document],
    metric: Metric | None,
    reports: Sequence[RunReport],
    same_data: bool,
) -> str:
    """Return in words which runs have the best metric and are the cheapest, or why none is."""
    if metric is None:
        tasks = _different_tasks(reports)
        return f"The runs have different tasks, which do not compare: {tasks}."
    if not same_data:
        return "The runs were evaluated on different samples."
    if metric == ACCURACY:
        first, whole = "most accurate", "accuracy"
    else:
        extreme = "highest" if metric.greater_is_better else "lowest"
        first, whole = f"best, with the {extreme} {metric.title}", metric.title
    energy_column = list(_columns(reports, metric)).index("picojoules_per_sample")
    sentences = []
    for column, what in ((0, first), (energy_column, "cheapest")):
        best = [
            (row["name"], row["cells"][column]["text"])
            for row in rows
            if row["cells"][column]["best"]
        ]
        if best:
            verb = "is" if len(best) == 1 else "are"
            sentences.append(f"{listed([name for name, _ in best])} {verb} {what} ({best[0][1]})")
    return (
        f"{'; '.join(sentences)}." if sentences else f"All runs have the same {whole} and energy."
    )
