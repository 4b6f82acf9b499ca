"""The traced sample on the page: its code, its spikes, and what the network says of it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from markupsafe import Markup

from ..coding.samples import EventBatch
from ..core.text import printable
from ..measure.figures import codes, recordings, series, spike_times
from . import figures
from .collect import Document, RunReport
from .drawing import Drawing
from .metrics_view import MAX_COLUMNS, shown_steps
from .sample_trace import SampleTrace, TimesTrace
from .traced_sample import TracedOutputs
from .wording import UNKNOWN, percent, truncate

CAPTIONS = {
    "image": "The image, the steps of its code, the decoded image, the error, and a raster of the "
    "spikes.",
    "events": "The events over time, column and row, and the steps of the code.",
    "series": "The series, a row for each value, and its code if that differs.",
}


TIMES_CAPTION = (
    "When each address fires first, and how often where that is more than once; right: its spikes "
    "over real time."
)
RASTER = (
    "Each dash is a spike of a neuron (row) at a step (column). Large layers show evenly spaced "
    "neurons."
)
RASTER_OF_TIMES = (
    "Each dash is a spike of a neuron (row) at a real time, from the input on the left to the "
    "outputs. Neurons that are silent have no row, unless they are outputs; large layers show "
    "evenly spaced neurons."
)
OUTPUTS = (
    "Outputs of the network for this sample: those of each step if each has a target, otherwise "
    "the answer so far. Dotted lines are targets, a bar below shows the labels of the steps."
)


def sample_view(report: RunReport, svg: Callable[[Drawing], Markup]) -> Document:
    """Return the code, the spikes and the predictions or outputs of the traced sample.

    Args:
        report: of the run.
        svg: returns a figure as SVG.
    """
    trace, classes = report.trace, report.data.classes
    if isinstance(trace, TimesTrace):
        return _view_of_times(report, trace, svg)
    index, why = report.sample
    name = _target(report)
    found: Document = {
        "sample": {"index": index, "why": why, "true": name, "random": trace.random},
        "code": svg(_code(report, trace, name)),
        "code_caption": CAPTIONS[report.data.spec.kind],
        "raster": svg(figures.raster(trace)) if trace.layers else None,
        "raster_caption": RASTER,
        "predictions": [],
        "prediction_steps": "each step" if report.steps <= MAX_COLUMNS else "some of the steps",
        "outputs": None,
        "outputs_caption": OUTPUTS,
        "output_times": None,
    }
    if report.outputs is not None:
        names, ends = [printable(each) for each in classes], report.output_steps
        return {**found, "outputs": svg(figures.outputs_by_step(report.outputs, names, ends))}
    if not trace.predictions:
        return found
    found["predictions"] = [
        {
            "step": report.output_steps[t],
            "predicted": printable(classes[trace.predictions[t]]),
            "confidence": percent(trace.confidence[t], 1),
        }
        for t in shown_steps(len(report.output_steps))
    ]
    return found


def _view_of_times(
    report: RunReport, trace: TimesTrace, svg: Callable[[Drawing], Markup]
) -> Document:
    """Return the code and the spikes of the traced sample, and when each output fires."""
    index, why = report.sample
    classes, name = [printable(each) for each in report.data.classes], _target(report)
    facts = ", ".join(spike_times.facts(trace.encoded))
    line = "" if trace.decided_at is None else " The dashed line is the decision."
    said = f"Sample {index}, {truncate(name)}, in the code {trace.encoded.coding.name}: {facts}."
    return {
        "sample": {"index": index, "why": why, "true": name, "random": False},
        "code": svg(Drawing(spike_times.times_figure(trace.encoded), said)),
        "code_caption": TIMES_CAPTION,
        "raster": svg(figures.raster_of_times(trace, classes)),
        "raster_caption": f"{RASTER_OF_TIMES}{line}",
        "predictions": [],
        "prediction_steps": "",
        "outputs": None,
        "outputs_caption": "",
        "output_times": {
            "answer": _answer(trace, classes),
            "rows": [
                {
                    "name": classes[k],
                    "first": f"{float(times[0]):.4g}" if bool(times[0].isfinite()) else UNKNOWN,
                    "spikes": int(times.isfinite().sum()),
                    "predicted": k == trace.prediction,
                }
                for k, times in enumerate(trace.outputs)
            ],
        },
    }


def _answer(trace: TimesTrace, classes: list[str]) -> str:
    """Return what the network answers, when, and with which confidence, in words."""
    if trace.prediction is None:
        return "no output fires, so there is no answer"
    at = "" if trace.decided_at is None else f" at the time {trace.decided_at:.4g}"
    confidence = percent(trace.confidence, 1)
    return f"the answer is {classes[trace.prediction]}{at}, with confidence {confidence}"


def _target(report: RunReport) -> str:
    """Return what the answer for the sample should be, in a word; empty if it is not one value."""
    if report.result.outcomes is not None:
        return printable(report.data.classes[int(report.result.outcomes.labels[report.sample[0]])])
    return _only_value(report.outputs)


def _only_value(outputs: TracedOutputs | None) -> str:
    if outputs is None or outputs.target is None or outputs.target.numel() != 1:
        return ""
    value = outputs.target.reshape(())
    return UNKNOWN if bool(torch.isnan(value)) else f"{float(value):.4g}"


def _code(report: RunReport, trace: SampleTrace, name: str) -> Drawing:
    """Return the figure of the sample and its code."""
    index, encoded = report.traced.index, report.traced.encoded
    image = trace.encoded
    steps = len(image.steps)
    title = f"Sample {index}, {truncate(name)}," if name else f"Sample {index}"
    said = f"{title} in the code {image.coding.name} of {steps} step{'s' * (steps != 1)}: "
    if encoded is None:
        return Drawing(codes.code_figure(image), f"{said}{', '.join(codes.facts(image))}.")
    if isinstance(encoded.sample, EventBatch):
        figure = recordings.recording_figure({image.coding.name: encoded})
        return Drawing(figure, f"{said}{recordings.facts(image.coding.name, encoded)}.")
    shape = " × ".join(map(str, image.steps.shape[1:]))
    low, high = float(image.steps.min()), float(image.steps.max())
    values = f"{shape} values a step, from {low:.4g} to {high:.4g}"
    return Drawing(series.series_figure(encoded), f"{said}{values}.")
