"""Figure of the primary metric against severity."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

from ...core.errors import AsnnError
from ...core.metric import ACCURACY, Metric
from ..robustness.corruptions import corruption_registry
from .files import save_figure
from .style import as_label, line, panels, style

MAX_COLUMNS = 4
WIDTH, HEIGHT = 2.6, 2.5  # of a panel, in inches
MAX_LABEL = 36  # characters of a line


def draw_robustness(
    path: Path, rows: Mapping[str, list[dict[str, Any]]], metric: Metric = ACCURACY
) -> None:
    """Draw the rows of `robustness`: a panel for each corruption, a line for each network.

    Severities are evenly spaced in their order, because the number of bits falls as damage rises.

    Args:
        path: the file.
        rows: of each network, by its label; at least one row.
        metric: the primary metric of the task.

    Raises:
        AsnnError: the file cannot be written.
    """
    names = list(dict.fromkeys(row["corruption"] for each in rows.values() for row in each))
    columns = min(len(names), MAX_COLUMNS)
    lines = -(-len(names) // columns)
    with style():
        size = (1 + WIDTH * columns, 0.7 + HEIGHT * lines)
        figure, grid = panels(size, lines, columns, sharey=True)
        if len(rows) == 1:
            figure.suptitle(as_label(next(iter(rows))), x=0.01, ha="left")
        for axes, name in zip(grid, names, strict=False):
            positions: dict[float, int] = {}
            for i, (label, found) in enumerate(rows.items()):
                mine = [row for row in found if row["corruption"] == name]
                axes.plot(
                    [positions.setdefault(row["severity"], len(positions)) for row in mine],
                    [metric.scale * row[metric.name] for row in mine],
                    **line(i),
                    label=as_label(label),
                )
            axes.set_xticks(list(positions.values()), [severity_text(s) for s in positions])
            axes.tick_params(axis="x", labelsize=8)
            axes.set_title(as_label(name))
            axes.set_xlabel(fill(_unit(name), MAX_LABEL), fontsize=8)
            if metric.percent:
                axes.set_ylim(0, 102)
        for axes in grid[len(names) :]:
            axes.set_axis_off()
        for axes in grid[::columns]:
            label = metric.axis if metric == ACCURACY else f"{metric.axis} ({metric.direction})"
            axes.set_ylabel(label)
        if len(rows) > 1:
            longest = max(grid, key=lambda axes: len(axes.lines))
            figure.legend(
                handles=longest.lines, loc="outside lower center", ncols=min(len(rows), 2 * columns)
            )
        save_figure(path, figure)


def _unit(name: str) -> str:
    """Return the unit of the severity of a corruption; `severity` where it is not known."""
    try:
        return str(corruption_registry.get(name).unit)
    except AsnnError:  # rows of a package that is not installed here
        return "severity"


def severity_text(severity: float) -> str:
    """Return a severity as text; 0 is `clean`."""
    return f"{severity:g}" if severity else "clean"
