"""The metrics of a task on the page: main figures, a table of all, a table by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.documents import finite_number
from ..core.metric import Metric
from ..core.text import printable
from ..tasks.class_scores import SCORES, class_scores
from .collect import Document, RunReport
from .wording import SPACE, UNKNOWN, energy, number, percent, with_article

MAX_COLUMNS = 64  # of a table by step
COLUMNS_OF_MANY = 12

NORMS = ("gradient", "weight", "update")  # columns of `statistics.jsonl`

Form = Callable[[Any], str]


def main_figures(report: RunReport) -> dict[str, tuple[str, Form]]:
    """Return label and form of each main figure of a run, by its key."""
    metric, one = report.metric, report.data.spec.one
    found: dict[str, tuple[str, Form]] = {
        metric.name: (metric.title, metric_form(metric)),
        "loss": ("loss", lambda loss: f"{loss:.4f}"),
        f"best_validation_{metric.name}": (
            f"best validation {metric.title}",
            metric_form(metric),
        ),
    }
    if report.has_classes:
        found["calibration_error"] = ("expected calibration error", percent)
    shown = {name: report.other_metrics().get(name) for name in _shown_beside(report)}
    shares = report.task.shares
    found |= {
        name: (name.replace("_", " "), percent if name in shares else plain) for name in shown
    }
    if report.result.spikes_to_decision is not None:
        found["spikes_to_decision"] = (f"spikes per {one} up to its decision", number)
    return {
        **found,
        "picojoules_per_sample": (f"energy per {one}", energy),
        "ann_twin_picojoules": ("the same network as an ANN", energy),
        "spikes_per_sample": (f"spikes per {one}", number),
        "accumulates": ("accumulates (AC)", number),
        "multiply_accumulates": ("multiply-accumulates (MAC)", number),
        "parameters": ("parameters", number),
    }


def _shown_beside(report: RunReport) -> list[str]:
    """Return the other metrics among the main figures: those computed after each epoch."""
    others = report.other_metrics()
    return [name for name in report.task.tracked if name in others]


def figure_rows(report: RunReport) -> list[Document]:
    """Return the main figures with labels, as values and as text."""
    found = report.figures()
    return [
        {
            "key": key,
            "label": label,
            "value": found.get(key),
            "text": UNKNOWN if found.get(key) is None else form(found[key]),
        }
        for key, (label, form) in main_figures(report).items()
    ]


def metric_form(metric: Metric) -> Form:
    """Return the form of the values of a metric."""
    return percent if metric.percent else plain


def plain(value: float) -> str:
    """Return a whole number as it is, another with four digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def all_metrics(report: RunReport) -> list[Document]:
    """Return a row for each metric of a task that is one number, or one for each class."""
    metric = report.metric
    rows = [
        {"name": metric.title, "text": _text(report.figures()[metric.name], metric_form(metric))},
        {"name": "loss", "text": _text(report.figures()["loss"], plain)},
    ]
    figures = report.figures()
    for name in report.other_metrics():
        rows.append({"name": name.replace("_", " "), "text": _text(figures[name], plain)})
    for name, values in report.result.values.items():
        if name.endswith("_per_class") and len(values) == len(report.data.classes):
            title = name.removesuffix("_per_class").replace("_", " ")
            for label, value in zip(report.data.classes, values, strict=True):
                rows.append({"name": f"{title} of {label}", "text": _text(value, plain)})
    return [{**row, "name": printable(row["name"])} for row in rows]


def metrics_by_step(report: RunReport) -> Document | None:
    """Return the table of the metrics that have a value after each step; None if there is none."""
    found = report.per_step()
    ends = report.output_steps
    if not found or len(ends) == 1:
        return None
    steps = shown_steps(len(ends))
    return {
        "steps": [ends[t] for t in steps],
        "rows": [
            {
                "name": printable(name.replace("_", " ")),
                "cells": [_text(values[t], plain) for t in steps],
            }
            for name, values in found.items()
        ],
    }


def shown_steps(total: int) -> list[int]:
    """Return the steps of a table, from 0: all, or of many equally spaced ones with both ends."""
    if total <= MAX_COLUMNS:
        return list(range(total))
    gaps = COLUMNS_OF_MANY - 1
    return [round(i * (total - 1) / gaps) for i in range(COLUMNS_OF_MANY)]


def metric_text(metric: Metric, value: float | None) -> str:
    """Return a value of a metric in a sentence."""
    return UNKNOWN if value is None else metric.text(value).replace(" ", SPACE)


def in_short(report: RunReport) -> str:
    """Return the primary metric, spikes and energy of a run in one line of plain text."""
    figures, metric = report.figures(), report.metric
    value, picojoules = figures[metric.name], figures["picojoules_per_sample"]
    spent = "unknown energy" if picojoules is None else f"{picojoules:,.0f} pJ"
    if figures["spikes_per_sample"] is not None:
        spent = f"{figures['spikes_per_sample']:,.0f} spikes and {spent}"
    shown = UNKNOWN if value is None else metric.text(value)
    return f"{metric.title} {shown}, {spent} {with_article(report.data.spec.one)}"


def _text(value: float | None, form: Form) -> str:
    return UNKNOWN if value is None else form(value)


def scores_by_class(report: RunReport, max_classes: int) -> list[Document]:
    """Return precision, recall, F1 and support of each class and their means; of more classes than
    `max_classes` the means alone."""
    if report.confusion is None:
        return []
    found = class_scores(report.confusion, list(report.data.classes))
    classes = found["by_class"] if len(found["by_class"]) <= max_classes else []
    rows = [(printable(row["class"]), row, f"{row['support']:,}") for row in classes]
    rows += [("mean", found["macro"], ""), ("mean weighted by support", found["weighted"], "")]
    return [
        {"name": name, "cells": [*(percent(scores[each], 1) for each in SCORES), support]}
        for name, scores, support in rows
    ]


def statistics_by_layer(report: RunReport) -> list[Document]:
    """Return the norms of gradients, weights and updates in the last epoch, by layer."""
    if not report.record.statistics:
        return []
    return [
        {"name": printable(name), "cells": [_norm(found.get(each)) for each in NORMS]}
        for name, found in report.record.statistics[-1]["layers"].items()
    ]


def _norm(value: Any) -> str:
    known = finite_number(value)
    return UNKNOWN if known is None else f"{known:.3g}"
