"""One run on the page: figures as SVG, numbers as text."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from ..core.metric import ACCURACY
from ..core.text import printable
from ..measure.early_exit import decided_when
from ..records.exports import CHANGED, OTHER_WEIGHTS, UNSTATED, ExportState
from . import cost_figures, figures
from .collect import Document, RunReport
from .confusions import Confusion
from .drawing import Drawing
from .metrics_view import (
    MAX_COLUMNS,
    all_metrics,
    figure_rows,
    metric_text,
    metrics_by_step,
    scores_by_class,
    shown_steps,
    statistics_by_layer,
)
from .operations_view import operations
from .sample_view import sample_view
from .svg import inline
from .wording import UNKNOWN, energy, listed, number, percent, words

MAX_CLASSES = 20  # of a confusion matrix on the page
# What follows "yes" and "no" where the verification of an export may not hold any more.
STALE = {
    CHANGED: ": changed since",
    OTHER_WEIGHTS: ": of other weights",
    UNSTATED: "; changes since are unknown",
}


class SvgWriter:
    """Writes figures of a page as SVG, each with its own ids.

    Args:
        prefix: of ids, unique on the page.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._count = 0

    def __call__(self, drawing: Drawing) -> Markup:
        """Return the SVG of a figure."""
        self._count += 1
        return inline(drawing, f"{self._prefix}-f{self._count}")


def view(report: RunReport, prefix: str) -> Document:
    """Return the values for the template of a run.

    Args:
        report: of the run.
        prefix: of ids, unique on the page.
    """
    svg = SvgWriter(prefix)
    result, record = report.result, report.record
    reliability = None if report.calibration is None else figures.reliability(report.calibration)
    by_step = report.per_step().get("accuracy") if report.has_classes else None
    return {
        "id": prefix,
        "name": report.name,
        "titles": _titles(report),
        "words": words(report.data.spec),
        "metric": {"key": report.metric.name, "title": report.metric.title},
        "has_classes": report.has_classes,
        "lead": _lead(report),
        "faults": record.faults,
        "warnings": _warnings(report),
        "figures": figure_rows(report),
        "best_epoch": record.best("epoch"),
        "split": report.split,
        "samples": result.samples,
        "data": report.data.name,
        "curves": [svg(each) for each in _curves(report)],
        "curves_title": _curves_title(report),
        "statistics": statistics_by_layer(report),
        "by_step": svg(cost_figures.accuracy_by_step(by_step, report.output_steps))
        if by_step and len(by_step) > 1
        else None,
        "over_time": _over_time(report, svg) if report.has_times else None,
        "tradeoff": svg(
            cost_figures.tradeoff_figure(report.tradeoff, report.data.spec.one, report.decision)
        )
        if report.tradeoff and report.steps > 1 and report.energy["reason"] is None
        else None,
        "metrics": all_metrics(report),
        "metrics_by_step": metrics_by_step(report),
        "early_exit": _early_exit(report),
        "exit_steps": report.output_steps if len(report.output_steps) <= MAX_COLUMNS else [],
        "confusion": _matrix(report),
        "scores": scores_by_class(report, MAX_CLASSES),
        "confusions": [_confusion(each, report.data.classes) for each in report.confusions],
        "answers": [
            (svg(drawing), caption)
            for drawing, caption in (report.answers.drawings() if report.answers else [])
        ],
        "schedules": [svg(each) for each in figures.schedule_figures(report.schedules)],
        **sample_view(report, svg),
        "rates": _rates(result.spike_rates, steps=not report.has_times),
        "bursts": listed(
            [f"{percent(share, 1)} in {name}" for name, share in result.burst_shares.items()]
        ),
        "overflows": listed(
            [f"{percent(share, 1)} in {name}" for name, share in result.overflows.items() if share]
        ),
        "rate_steps": [] if report.has_times else [t + 1 for t in shown_steps(report.steps)],
        "rate_steps_title": _rate_steps_title(report),
        "has_times": report.has_times,
        **operations(report, svg),
        "energy_notes": [f"{note[0].upper()}{note[1:]}." for note in report.energy["notes"]],
        "reliability": reliability and svg(reliability),
        "calibration": reliability and reliability.alt,
        "exports": [
            row
            for folder, found in report.exports.items()
            for row in _runtimes(folder, found, report.export_states[folder])
        ],
        "config": _tables(record.config),
        "environment": _tables(record.environment),
        "path": str(report.path),
        "shell_path": shlex.quote(str(report.path)),
        "fingerprint": report.data.fingerprint,
    }


def _lead(report: RunReport) -> str:
    network, result = report.network, report.result
    steps = "1 step" if report.steps == 1 else f"{report.steps} steps"
    steps = "exact times" if report.has_times else steps
    picojoules = report.energy["picojoules_per_sample"]
    spent = "an unknown energy" if picojoules is None else energy(picojoules)
    if result.spike_rates:
        spent = f"{number(result.spikes_per_sample)} spikes and {spent}"
    neurons = (
        f" with {network['neuron']} neurons" if report.energy["neurons"] or report.has_times else ""
    )
    value = metric_text(report.metric, report.figures()[report.metric.name])
    samples = f"{result.samples:,} {report.split} samples of {report.data.name}"
    found = (
        f"{value} of {samples} classified correctly"
        if report.has_classes and report.metric == ACCURACY
        else f"{report.metric.title} {value} on {samples}"
    )
    return (
        f"{network['name']}{neurons}, {network['coding']} code, {steps}: {found}, for {spent} "
        f"{words(report.data.spec)['a']}."
    )


def _titles(report: RunReport) -> dict[str, str]:
    """Return the titles of the sections that the page of a run has, in order."""
    return {
        key: title
        for key, title in {
            "summary": "Summary",
            "curves": "Training",
            "steps": _steps_title(report),
            "metrics": "" if report.has_classes else f"Metrics of the task {report.task.name}",
            "confusion": "Confusions" if report.has_classes or report.confusion else "",
            "answers": report.answers.title if report.answers else "",
            "schedules": "Learned schedules",
            "sample": "An encoded sample",
            "raster": "Its spikes in all layers",
            "rates": "Spike rates",
            "energy": "Operations and energy",
            "calibration": "Calibration" if report.calibration else "",
            "exports": "Exports",
            "config": "Configuration and environment",
        }.items()
        if title
    }


def _steps_title(report: RunReport) -> str:
    if not report.has_classes:
        return ""
    return "Accuracy, time and energy" if report.has_times else "Accuracy, steps and energy"


def _rate_steps_title(report: RunReport) -> str:
    if report.has_times:
        return ""
    return "step" if report.steps <= MAX_COLUMNS else "some of the steps"


def _over_time(report: RunReport, svg: SvgWriter) -> Document:
    """Return the accuracy of the answers by a real time, and what a decision costs."""
    points = report.over_time
    said = "The network answers after its last spike."
    if report.decision is not None:
        spikes = report.decision["spikes"]
        sent = "" if spikes is None else f", after {number(spikes)} spikes"
        one, when = words(report.data.spec)["a"].capitalize(), decided_when(report.decision)
        spent = energy(report.decision["picojoules"])
        said = f"{one} is decided {when} on average{sent} and {spent}."
    return {
        "figure": svg(cost_figures.accuracy_over_time(points)) if points else None,
        "decision": said,
        "times": [f"{point['time']:.3g}" for point in points[1::2]],
        "rows": [
            (name, [percent(point[key], 1) for point in points[1::2]])
            for key, name in (("decided", "decided"), ("accuracy", "decided and correct"))
        ],
    }


def _curves(report: RunReport) -> list[Drawing]:
    record = report.record
    tracked = report.task.tracked
    best = record.best("epoch")
    return figures.curves(
        record.trained,
        report.metric,
        tracked,
        spikes=record.has_spikes,
        best=None if best is None else int(best),
    )


def _warnings(report: RunReport) -> list[str]:
    """Return warnings about the figures of the page."""
    found = []
    data, environment = report.data, report.record.environment.get("data")
    trained_with = environment.get("fingerprint") if isinstance(environment, dict) else None
    if trained_with is not None and str(trained_with) != data.fingerprint:
        found.append(
            f"The data are not those of the training: their fingerprint is "
            f"{data.fingerprint[:12]}, not {printable(str(trained_with))[:12]}."
        )
    if not math.isfinite(report.result.loss):
        found.append(
            "The loss is not a finite number: weights or logits of the network are damaged, "
            "and no figure of this page means anything."
        )
    if report.energy["uncounted"]:
        names = listed([printable(name) for name in report.energy["uncounted"]])
        found.append(f"Totals and energy are unknown, because of layers of unknown type: {names}.")
    return found


def _early_exit(report: RunReport) -> list[Document]:
    """Return a row for each fixed number of steps and each exit rule; of many steps some."""
    ends = report.output_steps
    shown = [ends[t] for t in shown_steps(len(ends))]
    rows = [row for row in report.tradeoff if row["exit"] is not None or row["steps"] in shown]
    if report.decision is not None:
        rows.append({**report.decision, "exit": "its own decision"})
    columns = len(ends) <= MAX_COLUMNS
    return [_exit(row if columns else {**row, "leaving": []}) for row in rows]


def _exit(found: Document) -> Document:
    steps = found.get("steps")
    rule = found["exit"] or f"{steps:.0f} step{'s' * (steps != 1)}"
    return {
        "rule": rule.replace("=", " ≥ "),
        "steps": decided_when(found) if steps is None else f"{steps:.2f}",
        "accuracy": percent(found["accuracy"]),
        "energy": energy(found["picojoules"]),
        "leaving": ["·" if not share else percent(share, 0) for share in found.get("leaving", [])],
    }


def _curves_title(report: RunReport) -> str:
    names = ["loss", report.metric.title]
    names += [name.replace("_", " ") for name in report.task.tracked if name != report.metric.name]
    names += ["spike rate"] if report.record.has_spikes else []
    said = listed(names)
    return said[0].upper() + said[1:]


def _matrix(report: RunReport) -> list[Document] | None:
    """Return the rows of the confusion matrix; None if there is none, or too many classes."""
    classes, confusion = report.data.classes, report.confusion
    if confusion is None or len(classes) > MAX_CLASSES:
        return None
    found = []
    for i, (name, row) in enumerate(zip(classes, confusion, strict=True)):
        total = max(sum(row), 1)
        cells = [
            {"text": str(n) if n else "·", "share": _share((n / total) ** 0.5), "correct": i == j}
            for j, n in enumerate(row)
        ]
        correct = percent(row[i] / total, 1) if sum(row) else UNKNOWN
        found.append({"name": printable(name), "cells": cells, "correct": correct})
    return found


def _confusion(found: Confusion, classes: Sequence[str]) -> Document:
    true, predicted = printable(classes[found.true]), printable(classes[found.predicted])
    confidence = percent(found.confidence, 0)
    alt = f"Sample {found.sample}: {true}, predicted as {predicted} with confidence {confidence}"
    return {
        "image": found.image,
        "true": true,
        "predicted": predicted,
        "count": found.count,
        "confidence": confidence,
        "sample": found.sample,
        "alt": alt,
    }


def _rates(rates: dict[str, list[float]], *, steps: bool) -> list[Document]:
    """Return a row for each layer: its mean rate, and with `steps` that of each step."""
    largest = max((value for by_step in rates.values() for value in by_step), default=0) or 1
    return [
        {
            "layer": layer,
            "cells": [
                {"text": f"{by_step[t]:.4f}", "share": _share(by_step[t] / largest)}
                for t in (shown_steps(len(by_step)) if steps else [])
            ],
            "mean": f"{sum(by_step) / len(by_step):.4f}",
        }
        for layer, by_step in rates.items()
    ]


def _runtimes(folder: str, found: Document, state: ExportState) -> list[Document]:
    """Return a row for each runtime of an export; a damaged file gives a row that says so."""
    stale = STALE.get(state.state, "")
    form = printable(str(found.get("form", UNKNOWN)))
    try:
        return [
            {
                "folder": folder,
                "form": form,
                "runtime": printable(str(each["runtime"])),
                "samples": number(float(each["samples"])),
                "difference": UNKNOWN
                if each["greatest_logit_difference"] is None
                else f"{float(each['greatest_logit_difference']):.1e}",
                "same": percent(float(each["argmax_agreement"])),
                "agrees": ("yes" if each["agrees"] is True else "no") + stale,
            }
            for each in found["runtimes"]
        ]
    except (KeyError, TypeError, ValueError, OverflowError):
        unknown = dict.fromkeys(("runtime", "samples", "difference", "same"), UNKNOWN)
        return [{"folder": folder, "form": form, **unknown, "agrees": "unknown: damaged file"}]


def _tables(document: Document) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the tables of a document; top-level keys come first, without a name."""
    single = [(k, _text(v)) for k, v in document.items() if not isinstance(v, dict)]
    tables = [
        (printable(name), [(printable(k), _text(v)) for k, v in table.items()])
        for name, table in document.items()
        if isinstance(table, dict) and table
    ]
    return [("", single), *tables] if single else tables


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return printable(str(value))


def _share(share: float) -> str:
    return f"{share:.3f}"
