"""Figures of one run, each with a text alternative."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from ..core.metric import ACCURACY, Metric
from ..measure.figures.curves import Curve, curves_of, draw_curve
from ..measure.figures.schedules import MANY, draw_schedule, ends_of, kinds_of, most_steps
from ..measure.figures.spike_times import counted, draw_raster
from ..measure.figures.style import (
    LINE,
    QUIET,
    SERIES,
    as_label,
    line,
    panel,
    panels,
    style,
    whole_ticks,
)
from ..tasks.outcomes import Calibration
from .drawing import FULL, HALF, THIRD, Drawing
from .sample_trace import SampleTrace, TimesTrace
from .traced_sample import TracedOutputs
from .wording import listed, number, percent, truncate

if TYPE_CHECKING:
    from torch import Tensor

Document = dict[str, Any]

MAX_MARKED_STEPS = 64  # of a line whose points have marks
MAX_NAMED = 20  # outputs of a raster that are named


def curves(
    history: Sequence[Document],
    metric: Metric = ACCURACY,
    tracked: Sequence[str] = (),
    *,
    spikes: bool = True,
    best: int | None = None,
) -> list[Drawing]:
    """Return figures of loss, primary metric, the other metrics and spike rate by epoch, if known.

    Args:
        history: metrics by epoch.
        metric: the primary metric.
        tracked: names of the metrics that are computed after each epoch.
        spikes: whether the network has spikes.
        best: the best epoch.
    """
    return [_curve(each, best) for each in curves_of(history, metric, tracked, spikes=spikes)]


def _curve(curve: Curve, best: int | None) -> Drawing:
    with style():
        figure, axes = panel(THIRD)
        draw_curve(axes, curve, best)
    name = curve.title.rpartition(",")[0] or curve.title
    parts = []
    for label, values in curve.lines.items():
        known = [value for value in values if math.isfinite(value)]
        begin = "" if len(curve.lines) == 1 else f"{label} "
        parts.append(f"{begin}from {known[0]:.4g} to {known[-1]:.4g}")
    epochs = len(curve.epochs)
    over = "after one epoch" if epochs == 1 else f"over {epochs} epochs"
    return Drawing(figure, f"{name} {over}: {listed(parts)}.")


def schedule_figures(schedules: dict[str, dict[str, list[float]]]) -> list[Drawing]:
    """Return a figure for each kind of schedule that changes with the step in any layer."""
    return [
        _schedule(kind.replace("_", " "), layers, list(schedules), most_steps(schedules))
        for kind, layers in kinds_of(schedules).items()
        if any(len(set(by_step)) > 1 for by_step in layers.values())
    ]


def _schedule(kind: str, layers: dict[str, list[float]], names: list[str], steps: int) -> Drawing:
    many = len(layers) > MANY
    with style():
        figure, axes = panel((0.75 * FULL, 1 + 0.2 * len(layers)) if many else (HALF[0], 2.7))
        axes.set_title(f"{kind.capitalize()} by step")
        draw_schedule(axes, layers, names, steps)
        if many:
            figure.legend(loc="outside right upper")
        else:
            axes.legend()
    ends = {layer: ends_of(values, steps) for layer, values in layers.items()}
    said = [
        f"{layer} from {values[0]:.2f} at step {ends[layer][0]} to {values[-1]:.2f} at step "
        f"{ends[layer][-1]}"
        for layer, values in layers.items()
    ]
    return Drawing(figure, f"{kind.capitalize()}: {'; '.join(said)}.")


def raster(trace: SampleTrace) -> Drawing:
    """Return a raster of the spikes of one sample for each layer."""
    layers = trace.layers
    columns = min(len(layers), 4)
    rows = -(-len(layers) // columns)
    steps = len(trace.encoded.steps)
    with style():
        figure, grid = panels((FULL, 0.3 + 2.9 * rows), rows, columns)
        for axes, layer in zip(grid, layers, strict=False):
            t, neuron = layer.spikes.nonzero(as_tuple=True)
            drawn = layer.spikes.shape[1]
            # One path for all spikes: a dash from t - 0.4 to t + 0.4, a gap, and so on.
            gap = [math.nan] * len(t)
            x = [
                v
                for at in zip((t + 0.6).tolist(), (t + 1.4).tolist(), gap, strict=True)
                for v in at
            ]
            y = [v for n in neuron.tolist() for v in (n + 1, n + 1, math.nan)]
            width = max(0.8, min(4, 120 / max(drawn, 1)))
            axes.plot(x, y, color=SERIES[0], linewidth=width, solid_capstyle="butt")
            axes.set_title(as_label(layer.name))
            axes.set_xlim(0.5, steps + 0.5)
            axes.set_ylim(drawn + 0.5, 0.5)
            axes.grid(visible=False)
            axes.set_yticks([])
            if steps <= 10:
                axes.set_xticks(range(1, steps + 1))
            of = "" if drawn == layer.neurons else f"{drawn} of "
            axes.set_xlabel(f"step\n{of}{layer.neurons:,} neurons, {layer.total:,} spikes")
        for axes in grid[len(layers) :]:
            axes.set_axis_off()
    said = [f"{layer.name} {layer.total:,}" for layer in layers]
    return Drawing(figure, f"Spikes by neuron and step. Spikes in all: {listed(said)}.")


def raster_of_times(trace: TimesTrace, classes: Sequence[str]) -> Drawing:
    """Return a raster of the input and of each layer over real time, with the decision.

    The axis ends where the input, the decision and the first spikes of the outputs are past.

    Args:
        trace: of the sample.
        classes: names of the outputs.
    """
    layers = {"input": trace.encoded.times.flatten(0, 2), **trace.layers}
    *_, last = layers
    end = _end_of_interest(trace)
    columns = min(len(layers), 4)
    rows = -(-len(layers) // columns)
    with style():
        figure, grid = panels((FULL, 0.3 + 2.9 * rows), rows, columns)
        for axes, (name, times) in zip(grid, layers.items(), strict=False):
            named = name == last and len(times) <= MAX_NAMED
            shown = draw_raster(axes, times, every=named, end=end)
            axes.set_title(as_label(name))
            if named:
                labels = [as_label(truncate(each, 12)) for each in classes]
                axes.set_yticks(range(1, len(times) + 1), labels)
            if trace.decided_at is not None:
                axes.axvline(trace.decided_at, color=SERIES[1], linestyle="--", zorder=1)
            later = int((times[times.isfinite()] > end).sum())
            after = f", {later:,} later" if later else ""
            spikes = int(times.isfinite().sum())
            axes.set_xlabel(f"time\n{counted(times, shown)}\n{spikes:,} spikes{after}")
        for axes in grid[len(layers) :]:
            axes.set_axis_off()
    said = [f"{name} {int(times.isfinite().sum()):,}" for name, times in layers.items()]
    text = f"Spikes by neuron and real time. Spikes in all: {listed(said)}."
    if trace.decided_at is not None:
        text += f" Decided at the time {trace.decided_at:.4g}."
    return Drawing(figure, text)


def _end_of_interest(trace: TimesTrace) -> float:
    """Return the time of the last spike of the input or first spike of an output; 1 without any."""
    of_input = trace.encoded.times.flatten()
    found = torch.cat([of_input, trace.outputs[:, 0].to(of_input.dtype)])
    found = found[found.isfinite()]
    return float(found.max()) if len(found) else 1.0


def outputs_by_step(found: TracedOutputs, classes: Sequence[str], ends: Sequence[int]) -> Drawing:
    """Return the outputs of one sample by step, beside their targets.

    Args:
        found: outputs and targets.
        classes: names of the outputs; they are numbered if there are others.
        ends: the steps after which an output is known: all, or the ends of windows.
    """
    steps, count = found.outputs.shape
    names = classes if len(classes) == count else [f"output {k + 1}" for k in range(count)]
    shown = min(count, len(SERIES))
    with style():
        figure, axes = panel((FULL, 2.9))
        some = "" if shown == count else f", {shown} of {count}"
        axes.set_title(f"Outputs{' and label' if found.labels is not None else ''} by step{some}")
        for k in range(shown):
            marks = line(k) | ({"marker": ""} if steps > MAX_MARKED_STEPS else {})
            axes.plot(ends, found.outputs[:, k], **marks, label=as_label(names[k]))
            if found.target is not None:
                target = found.target[:, k].expand(steps)
                axes.plot(
                    ends,
                    target,
                    color=SERIES[k],
                    linestyle=":",
                    label=as_label(f"{names[k]}, target"),
                )
        if found.labels is not None:
            _draw_labels(axes, found.labels, names)
        axes.set_xlabel("step")
        whole_ticks(axes.xaxis)
        figure.legend(loc="outside right upper")
    last = [f"{names[k]} {float(found.outputs[-1, k]):.4g}" for k in range(shown)]
    what = "steps" if steps == ends[-1] else "windows"
    said = f"Outputs of {steps} {what}{some}; at the last one {listed(last)}"
    if found.target is not None:
        wanted = [f"{float(value):.4g}" for value in found.target[-1, :shown]]
        said += f", the target is {listed(wanted)}"
    if found.labels is not None:
        labelled = found.labels >= 0
        correct = int((found.outputs.argmax(1) == found.labels)[labelled].sum())
        said += f"; {number(correct)} of {number(int(labelled.sum()))} labelled steps are correct"
    return Drawing(figure, f"{said}.")


def _draw_labels(axes: Any, labels: Tensor, names: Sequence[str]) -> None:
    """Draw the true class of each step as a bar below the outputs."""
    low, high = axes.get_ylim()
    height = 0.08 * (high - low)
    for k, name in enumerate(names[: len(SERIES)]):
        of_class = [(t + 0.5, 1.0) for t in (labels == k).nonzero().flatten().tolist()]
        if of_class:
            bar = {"facecolor": SERIES[k], "label": as_label(f"{name}, label")}
            axes.broken_barh(of_class, (low - 1.5 * height, height), **bar)
    axes.set_ylim(low - 2 * height, high)


def reliability(found: Calibration) -> Drawing:
    """Return accuracy by confidence, with the share of samples below."""
    filled = [each for each in found.bins if each["samples"]]
    samples = sum(each["samples"] for each in filled)
    width = 1 / len(found.bins)
    with style():
        figure, (axes, below) = panels((HALF[0], 3.6), 2, 1, heights=(3, 1))
        axes.set_title("Accuracy by confidence")
        axes.plot((0, 1), (0, 1), color=QUIET, linestyle="--", linewidth=1.2, label="calibrated")
        axes.bar(
            [each["low"] for each in filled],
            [each["accuracy"] for each in filled],
            width,
            align="edge",
            color=SERIES[0],
            edgecolor=LINE,
            linewidth=0.6,
        )
        axes.plot(
            [each["confidence"] for each in filled],
            [each["accuracy"] for each in filled],
            **{**line(1), "linestyle": ""},
            label="mean of a bin",
        )
        axes.set_ylim(0, 1.02)
        axes.tick_params(labelbottom=False)
        axes.legend(loc="upper left")
        shares = [each["samples"] / samples for each in filled]
        below.bar([each["low"] for each in filled], shares, width, align="edge", color=QUIET)
        below.set_title("Share of samples")
        below.set_xlabel("confidence")
        for each in (axes, below):
            each.set_xlim(0, 1.02)
    confidence = sum(each["confidence"] * each["samples"] for each in filled) / samples
    accuracy = sum(each["accuracy"] * each["samples"] for each in filled) / samples
    return Drawing(
        figure,
        f"Expected calibration error {percent(found.error)}: mean confidence "
        f"{percent(confidence, 1)}, accuracy {percent(accuracy, 1)}, "
        f"over {number(samples)} samples.",
    )
