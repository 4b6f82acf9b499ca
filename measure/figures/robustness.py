"""Accuracy against severity, drawn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core.files import atomic_file
from .curves import COLOURS

MARKERS = "osD^vP*"
MOST_COLUMNS = 4


def draw_robustness(path: Path, rows: Mapping[str, list[dict[str, Any]]]) -> None:
    """Draw what `robustness` returns: a panel for each corruption, a line for each network.

    Severities stand side by side in their order, whatever their distance: bits go down as damage
    goes up.

    Args:
        path: the PNG file.
        rows: of each network, by what to call it; at least one row in all.

    Raises:
        AsnnError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys(row["corruption"] for each in rows.values() for row in each))
    columns = min(len(panels), MOST_COLUMNS)
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(1 + 2.6 * columns, 0.6 + 2.4 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for axes, name in zip(grid.flat, panels, strict=False):
        places: dict[float, int] = {}
        for i, (label, found) in enumerate(rows.items()):
            mine = [row for row in found if row["corruption"] == name]
            axes.plot(
                [places.setdefault(row["severity"], len(places)) for row in mine],
                [100 * row["accuracy"] for row in mine],
                color=COLOURS[i % len(COLOURS)],
                marker=MARKERS[i % len(MARKERS)],
                markersize=4,
                linewidth=1.3,
                label=label,
            )
        axes.set_xticks(list(places.values()), [severity_text(s) for s in places], fontsize=8)
        axes.set_title(name, fontsize=9)
        axes.set_ylim(0, 100)
        axes.grid(alpha=0.3)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy, %")
    if len(rows) > 1:
        longest = max(grid.flat, key=lambda axes: len(axes.lines))
        figure.legend(
            handles=longest.lines, loc="outside lower center", ncols=len(rows), frameon=False
        )
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def severity_text(severity: float) -> str:
    """Return a severity for a heading; 0 is called clean."""
    return f"{severity:g}" if severity else "clean"
