"""Training curves: loss, metrics and spike rate by epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.documents import finite_number
from ...core.metric import ACCURACY, Metric
from .files import save_figure
from .style import INK, QUIET, as_label, line, panels, style, whole_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

History = Sequence[dict[str, Any]]

WIDTH, HEIGHT = 3.1, 2.6  # of a panel, in inches
MAX_MARKED = 8  # points of a line


@dataclass(frozen=True)
class Curve:
    """A quantity by epoch.

    Attributes:
        title: its name, with its unit.
        epochs: the numbers of the epochs.
        lines: values by part of the data, `train` and `validation`, or the only one; NaN at epochs
            that have none.
        is_primary: whether it is the metric that decides which epoch is the best.
    """

    title: str
    epochs: list[int]
    lines: dict[str, list[float]]
    is_primary: bool = False


def curves_of(
    history: History,
    metric: Metric = ACCURACY,
    tracked: Sequence[str] = (),
    *,
    spikes: bool = True,
) -> list[Curve]:
    """Return loss, primary metric, the other metrics and spike rate by epoch, those that are known.

    Args:
        history: metrics by epoch.
        metric: the primary metric.
        tracked: names of the metrics that are computed after each epoch.
        spikes: whether the network has spikes.
    """
    others = [Metric(name, percent=False) for name in tracked if name != metric.name]
    quantities: list[tuple[str, tuple[str, ...], int]] = [
        ("Loss", ("train_loss", "validation_loss"), 1)
    ]
    quantities += [
        (
            f"{each.axis[:1].upper()}{each.axis[1:]}",
            (f"train_{each.name}", f"validation_{each.name}"),
            each.scale,
        )
        for each in (metric, *others)
    ]
    if spikes:
        quantities.append(("Spike rate", ("spike_rate",), 1))
    found = []
    epochs = [int(each.get("epoch", i)) for i, each in enumerate(history, 1)]
    for title, keys, scale in quantities:
        lines = {}
        for key in keys:
            values = [finite_number(epoch.get(key)) for epoch in history]
            if any(value is not None for value in values):
                lines[key.partition("_")[0]] = [
                    math.nan if value is None else float(scale * value) for value in values
                ]
        if lines:
            primary = f"validation_{metric.name}" in keys
            found.append(Curve(title, epochs, lines, is_primary=primary))
    return found


def draw_curve(axes: Axes, curve: Curve, best: int | None = None) -> None:
    """Draw a quantity by epoch.

    Args:
        axes: the panel.
        curve: the quantity.
        best: the best epoch, which is marked on the primary metric.
    """
    axes.set_title(curve.title)
    every = max(1, len(curve.epochs) // MAX_MARKED)
    for i, (label, values) in enumerate(curve.lines.items()):
        axes.plot(curve.epochs, values, **line(i), markevery=every, label=label)
    values = curve.lines.get("validation")
    if curve.is_primary and values and best in curve.epochs:
        at = values[curve.epochs.index(best)]
        axes.plot(
            [best],
            [at],
            marker="*",
            markersize=13,
            linestyle="",
            color=INK,
            markerfacecolor="none",
            label=f"best: epoch {best}",
        )
    if curve.title == "Spike rate":
        top = max((v for each in curve.lines.values() for v in each if v > 0), default=1.0)
        axes.set_ylim(0, 1.05 * top)  # also where all values are equal
    axes.set_xlabel("epoch")
    whole_ticks(axes.xaxis)
    if len(curve.lines) > 1:
        axes.legend()


def draw_curves(
    path: Path,
    history: History,
    metric: Metric = ACCURACY,
    *,
    title: str = "",
    best: int | None = None,
    spikes: bool = True,
) -> None:
    """Write `curves.png`: loss, primary metric and spike rate over epochs.

    Args:
        path: the file.
        history: metrics by epoch.
        metric: the primary metric.
        title: the name of the run.
        best: the best epoch.
        spikes: whether the network has spikes.

    Raises:
        AsnnError: the file cannot be written.
    """
    curves = curves_of(history, metric, spikes=spikes)
    columns = max(len(curves), 1)
    with style():
        height = HEIGHT + (0.3 if title else 0)
        figure, grid = panels((WIDTH * columns, height), 1, columns)
        if title:
            figure.suptitle(as_label(title), x=0.01, ha="left")
        for axes, curve in zip(grid, curves, strict=False):
            draw_curve(axes, curve, best)
            for epoch, stage in _stages(history):
                axes.axvline(epoch - 0.5, color=QUIET, linewidth=0.8, linestyle=":")
                _name_stage(axes, stage, epoch)
        if not curves:
            grid[0].set_axis_off()
            grid[0].text(0.5, 0.5, "no epoch was trained", ha="center")
        save_figure(path, figure)


def _name_stage(axes: Axes, stage: str, epoch: int) -> None:
    """Write the name of a stage upwards along the line where it begins."""
    axes.annotate(
        stage, (epoch - 0.5, 0.02), xycoords=("data", "axes fraction"), xytext=(2, 0),
        textcoords="offset points", rotation=90, va="bottom", size=7, color=QUIET,
    )  # fmt: skip


def _stages(history: History) -> list[tuple[int, str]]:
    """Return the first epoch and the name of each stage, of a training in several."""
    names = [metrics.get("stage") for metrics in history]
    return [
        (metrics["epoch"], name)
        for metrics, name, before in zip(history, names, [None, *names], strict=False)
        if name is not None and name != before
    ]
