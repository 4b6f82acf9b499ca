"""`results.png`: the primary metric with its deviation; against steps if steps are varied."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.metric import ACCURACY, Metric
from ..core.text import printable
from ..measure.figures.files import save_figure
from ..measure.figures.style import as_label, line, panel, style
from .grid import display
from .results_page import metric_text, results_metric, short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEPS = "coding.steps"
Points = list[dict[str, Any]]


def draw_results(path: Path, results: dict[str, Any]) -> None:
    """Draw the means over seeds with bars of one sample deviation each.

    If `coding.steps` is varied: against steps, with a line for each setting of the other keys.
    Otherwise: a row for each point of the grid, with a colour for each value of the first key.

    Raises:
        AsnnError: the file cannot be written.
    """
    metric = results_metric(results)
    points = [point for point in results["points"] if point["n"]]
    against_steps = STEPS in results["keys"]
    with style():
        figure, axes = panel((8, 4.8 if against_steps else 1.4 + 0.32 * max(len(points), 1)))
        if against_steps:
            _draw_lines(axes, points, results, metric)
        else:
            _draw_rows(axes, points, results["keys"], metric)
        seeds = _seeds(len(results["seeds"]))
        axes.set_title(f"{results['recipe']}: {results['split']} data, {seeds}")
        save_figure(path, figure)


def _draw_lines(axes: Axes, points: Points, results: dict[str, Any], metric: Metric) -> None:
    step_keys = next(keys for keys in results["axes"] if STEPS in keys)
    others = [key for key in results["keys"] if key not in step_keys]
    lines: dict[str, Points] = {}
    for point in points:
        lines.setdefault(_label(point, others), []).append(point)
    steps = sorted({point["settings"][STEPS] for point in points})
    # Shifted, so that bars of equal height do not hide each other.
    spacing = 0.012 * (steps[-1] - steps[0] or 1) if steps else 0
    for number, (label, drawn) in enumerate(lines.items()):
        drawn = sorted(drawn, key=lambda point: point["settings"][STEPS])
        offset = spacing * (number - (len(lines) - 1) / 2)
        axes.errorbar(
            [point["settings"][STEPS] + offset for point in drawn],
            [metric.scale * point[metric.name]["mean"] for point in drawn],
            [metric.scale * (point[metric.name]["deviation"] or 0) for point in drawn],
            **line(number),
            capsize=3,
            label=as_label(label),
        )
    axes.set_xticks(steps)
    axes.set_xlabel("steps T")
    axes.set_ylabel(_axis(metric))
    if others and lines:
        axes.figure.legend(loc="outside right upper")


def _draw_rows(axes: Axes, points: Points, keys: list[str], metric: Metric) -> None:
    kinds: list[Any] = []
    for row, point in enumerate(points):
        kind = point["settings"][keys[0]] if keys else None
        if kind not in kinds:
            kinds.append(kind)
        number = kinds.index(kind)
        found = point[metric.name]
        mean = metric.scale * found["mean"]
        axes.errorbar(
            mean,
            row,
            xerr=metric.scale * (found["deviation"] or 0),
            **line(number),
            capsize=3,
        )
        axes.annotate(
            metric_text(found, metric),
            (mean, row),
            xytext=(0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=7,
        )
    axes.set_yticks(range(len(points)), [_label(point, keys) for point in points])
    axes.set_ylim(len(points) - 0.4, -0.6)  # the first row on top
    axes.margins(x=0.12)
    axes.set_xlabel(_axis(metric))


def _axis(metric: Metric) -> str:
    return metric.axis if metric == ACCURACY else f"{metric.axis} ({metric.direction})"


def _label(point: dict[str, Any], keys: list[str]) -> str:
    settings = []
    for key, name in zip(keys, short_names(keys), strict=True):
        value = point["settings"][key]
        settings.append(value if isinstance(value, str) else f"{name} {display(value)}")
    return printable(", ".join(settings)) or "all"  # ticks are formatted when they are drawn


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"mean ± deviation over {count} seeds"
