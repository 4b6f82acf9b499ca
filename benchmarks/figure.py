"""Figure of cost against the number of steps."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError
from ..core.files import write_bytes
from ..measure.figures.curves import COLOURS

MARKERS = "osD^vP*Xh"
TITLES = {"train": "training step", "inference": "inference"}


def draw_costs(path: Path, results: list[dict[str, Any]]) -> None:
    """Draw milliseconds against T, both logarithmic: a line for each baseline.

    There is a panel for each network, code, batch and kind of call.

    Args:
        path: the PNG file.
        results: of `run_job`.

    Raises:
        ConfigError: nothing was timed.
        AsnnError: the file cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    panels = panels_of(results)
    if not panels:
        raise ConfigError("there is nothing to draw", why="nothing was timed")
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(1.2 + 4.4 * columns, 0.8 + 3.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    for axes, (title, lines) in zip(grid.flat, panels.items(), strict=False):
        for name, points in lines.items():
            index = names.index(name)
            axes.errorbar(
                [steps for steps, *_ in points],
                [ms for _, ms, _, _ in points],
                yerr=[
                    [ms - low for _, ms, low, _ in points],
                    [high - ms for _, ms, _, high in points],
                ],
                # There are more baselines than colours; marker and dashes distinguish them too.
                color=COLOURS[index % len(COLOURS)],
                marker=MARKERS[index % len(MARKERS)],
                linestyle="-" if index < len(COLOURS) else "--",
                linewidth=2.2 if index == 0 else 1.3,
                markersize=5,
                capsize=2,
                label=name,
            )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(sorted({steps for points in lines.values() for steps, *_ in points}))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("steps T")
        axes.set_ylabel("ms")
        axes.grid(alpha=0.3, which="both")
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    grid[0][0].legend(frameon=False, fontsize=8)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=130)
    write_bytes(path, drawn.getvalue())


Point = tuple[int, float, float, float]


def panels_of(results: list[dict[str, Any]]) -> dict[str, dict[str, list[Point]]]:
    """Return (T, median, lower and upper quartile) in ms, by title and baseline."""
    panels: dict[str, dict[str, list[Point]]] = {}
    for result in sorted(results, key=lambda result: result["case"]["steps"]):
        case = result["case"]
        for name, baseline in result["contestants"].items():
            for what, title in TITLES.items():
                if what in baseline:
                    spread = baseline[what]["seconds"]
                    heading = f"{case['model']}, {case['coding']}, batch {case['batch']}: {title}"
                    ms = [1e3 * spread[key] for key in ("median", "low", "high")]
                    lines = panels.setdefault(heading, {})
                    lines.setdefault(name, []).append((case["steps"], *ms))
    return panels
