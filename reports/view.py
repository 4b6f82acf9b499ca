"""One run on the page: figures as SVG, numbers as text."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from ..core.text import printable
from ..measure.figures.codes import code_figure, facts
from . import cost_figures, figures
from .collect import Confusion, Document, RunReport
from .drawing import Drawing
from .operations_view import operations
from .svg import inline
from .wording import UNKNOWN, energy, listed, number, percent, truncate

MAX_CLASSES = 20  # of a confusion matrix on the page
MAIN_FIGURES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "accuracy": ("accuracy", percent),
    "loss": ("loss", lambda loss: f"{loss:.4f}"),
    "best_validation_accuracy": ("best validation accuracy", percent),
    "calibration_error": ("expected calibration error", percent),
    "picojoules_per_sample": ("energy per image", energy),
    "ann_twin_picojoules": ("the same network as an ANN", energy),
    "spikes_per_sample": ("spikes per image", number),
    "accumulates": ("accumulates (AC)", number),
    "multiply_accumulates": ("multiply-accumulates (MAC)", number),
    "parameters": ("parameters", number),
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
    reliability = figures.reliability(report.calibration)
    return {
        "id": prefix,
        "name": report.name,
        "lead": _lead(report),
        "faults": record.faults,
        "warnings": _warnings(report),
        "figures": figure_rows(report.figures()),
        "best_epoch": record.best("epoch"),
        "split": report.split,
        "samples": result.samples,
        "data": report.data.name,
        "curves": [svg(each) for each in figures.curves(record.history)],
        "by_step": svg(cost_figures.accuracy_by_step(result.accuracy_per_step))
        if report.steps > 1
        else None,
        "tradeoff": svg(cost_figures.tradeoff_figure(report.tradeoff))
        if report.steps > 1 and report.energy["reason"] is None
        else None,
        "early_exit": [_exit(each) for each in report.tradeoff],
        "confusion": _matrix(report),
        "confusions": [_confusion(each, report.data.classes) for each in report.confusions],
        "schedules": [svg(each) for each in figures.schedule_figures(report.schedules)],
        **_trace(report, svg),
        "rates": _rates(result.spike_rates),
        **operations(report, svg),
        "reliability": svg(reliability),
        "calibration": reliability.alt,
        "exports": [
            row for folder, found in report.exports.items() for row in _runtimes(folder, found)
        ],
        "config": _tables(record.config),
        "environment": _tables(record.environment),
        "path": str(report.path),
        "shell_path": shlex.quote(str(report.path)),
        "fingerprint": report.data.fingerprint,
    }


def figure_rows(found: Document) -> list[Document]:
    """Return the main figures with labels, as values and as text."""
    return [
        {
            "key": key,
            "label": label,
            "value": found[key],
            "text": UNKNOWN if found[key] is None else form(found[key]),
        }
        for key, (label, form) in MAIN_FIGURES.items()
    ]


def _lead(report: RunReport) -> str:
    network, result = report.network, report.result
    steps = "1 step" if report.steps == 1 else f"{report.steps} steps"
    picojoules = report.energy["picojoules_per_sample"]
    spent = "an unknown energy" if picojoules is None else energy(picojoules)
    neurons = f" with {network['neuron']} neurons" if report.energy["neurons"] else ""
    return (
        f"{network['name']}{neurons}, {network['coding']} code, {steps}: "
        f"{percent(result.accuracy)} of {result.samples:,} {report.split} samples of "
        f"{report.data.name} classified correctly, for {number(result.spikes_per_sample)} spikes "
        f"and {spent} an image."
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


def _exit(found: Document) -> Document:
    steps = found["steps"]
    rule = f"{steps:.0f} step{'s' * (steps > 1)}"
    return {
        "rule": rule if found["exit"] is None else found["exit"].replace("=", " ≥ "),
        "steps": f"{steps:.2f}",
        "accuracy": percent(found["accuracy"]),
        "energy": energy(found["picojoules"]),
        "leaving": ["·" if not share else percent(share, 0) for share in found["leaving"]],
    }


def _matrix(report: RunReport) -> list[Document] | None:
    """Return the rows of the confusion matrix; None if there are too many classes."""
    classes = report.data.classes
    if len(classes) > MAX_CLASSES:
        return None
    found = []
    for i, (name, row) in enumerate(zip(classes, report.result.confusion, strict=True)):
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


def _trace(report: RunReport, svg: SvgWriter) -> Document:
    """Return the code, the spikes and the predictions of the traced sample."""
    trace, classes = report.trace, report.data.classes
    index, why = report.sample
    encoded = trace.encoded
    name = printable(classes[int(report.result.class_outcomes.labels[index])])
    code = Drawing(
        code_figure(encoded),
        f"Sample {index}, {truncate(name)}, in the code {encoded.coding.name} of "
        f"{len(encoded.steps)} steps: {', '.join(facts(encoded))}.",
    )
    return {
        "sample": {"index": index, "why": why, "true": name, "random": trace.random},
        "code": svg(code),
        "raster": svg(figures.raster(trace)) if trace.layers else None,
        "predictions": [
            {"predicted": printable(classes[predicted]), "confidence": percent(confidence, 1)}
            for predicted, confidence in zip(trace.predictions, trace.confidence, strict=True)
        ],
    }


def _rates(rates: dict[str, list[float]]) -> list[Document]:
    largest = max((value for by_step in rates.values() for value in by_step), default=0) or 1
    return [
        {
            "layer": layer,
            "cells": [{"text": f"{v:.4f}", "share": _share(v / largest)} for v in by_step],
            "mean": f"{sum(by_step) / len(by_step):.4f}",
        }
        for layer, by_step in rates.items()
    ]


def _runtimes(folder: str, found: Document) -> list[Document]:
    """Return a row for each runtime of an export; a damaged file gives a row that says so."""
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
                "agrees": "yes" if each["agrees"] is True else "no",
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
