"""Figure of the primary metric against severity."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core.metric import ACCURACY, Metric
from .curves import COLOURS, save_figure

MARKERS = "osD^vP*"
MAX_COLUMNS = 4


def draw_robustness(
    path: Path, rows: Mapping[str, list[dict[str, Any]]], metric: Metric = ACCURACY
) -> None:
    """Draw the rows of `robustness`: a panel for each corruption, a line for each network.

    Severities are evenly spaced in their order, because the number of bits falls as damage rises.

    Args:
        path: the PNG file.
        rows: of each network, by its label; at least one row.
        metric: the primary metric of the task.

    Raises:
        AsnnError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys(row["corruption"] for each in rows.values() for row in each))
    columns = min(len(panels), MAX_COLUMNS)
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(1 + 2.6 * columns, 0.6 + 2.4 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for axes, name in zip(grid.flat, panels, strict=False):
        positions: dict[float, int] = {}
        for i, (label, found) in enumerate(rows.items()):
            mine = [row for row in found if row["corruption"] == name]
            axes.plot(
                [positions.setdefault(row["severity"], len(positions)) for row in mine],
                [metric.scale * row[metric.name] for row in mine],
                color=COLOURS[i % len(COLOURS)],
                marker=MARKERS[i % len(MARKERS)],
                markersize=4,
                linewidth=1.3,
                label=label,
            )
        axes.set_xticks(list(positions.values()), [severity_text(s) for s in positions], fontsize=8)
        axes.set_title(name, fontsize=9)
        if metric.percent:
            axes.set_ylim(0, 100)
        axes.grid(alpha=0.3)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        label = metric.axis if metric == ACCURACY else f"{metric.axis} ({metric.direction})"
        axes.set_ylabel(label)
    if len(rows) > 1:
        longest = max(grid.flat, key=lambda axes: len(axes.lines))
        figure.legend(
            handles=longest.lines, loc="outside lower center", ncols=len(rows), frameon=False
        )
    save_figure(path, figure)


def severity_text(severity: float) -> str:
    """Return a severity as text; 0 is `clean`."""
    return f"{severity:g}" if severity else "clean"
