"""Figure of cost: against the number of steps, or as bars for one number of steps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ConfigError
from ..measure.figures.files import save_figure
from ..measure.figures.style import INK, SERIES, as_label, line, panels, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLES = {"train": "training step", "inference": "inference"}
MAX_DECADES = 4  # of times with ticks between powers of ten
WIDTH, HEIGHT = 4.4, 3.4  # of a panel, in inches

Point = tuple[int, float, float, float]
Lines = dict[str, list[Point]]


def draw_costs(path: Path, results: list[dict[str, Any]]) -> None:
    """Draw milliseconds: against T, both logarithmic, a line for each baseline; or bars of one T.

    There is a panel for each network, code, batch and kind of call. The error bars are quartiles.

    Args:
        path: the file.
        results: of `run_job`.

    Raises:
        ConfigError: nothing was timed, or the suffix of the file is unknown.
        AsnnError: the file cannot be written.
    """
    found = panels_of(results)
    if not found:
        raise ConfigError("there is nothing to draw", why="nothing was timed")
    columns = min(len(found), 3)
    rows = -(-len(found) // columns)
    names = list(dict.fromkeys(name for lines in found.values() for name in lines))
    steps = {at for lines in found.values() for points in lines.values() for at, *_ in points}
    height = HEIGHT if len(steps) > 1 else 1 + 0.3 * len(names)
    with style():
        figure, grid = panels((1.2 + WIDTH * columns, 0.8 + height * rows), rows, columns)
        for axes, (title, lines) in zip(grid, found.items(), strict=False):
            axes.set_title(title)
            if len(steps) > 1:
                _draw_lines(axes, lines, names)
            else:
                _draw_bars(axes, lines, names)
        for axes in grid[len(found) :]:
            axes.set_axis_off()
        if len(steps) > 1:
            _add_legend(grid[0], next(iter(found.values())))
        else:
            figure.suptitle(f"T = {steps.pop()}", x=0.01, ha="left")
        save_figure(path, figure)


def _draw_lines(axes: Axes, lines: Lines, names: list[str]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for name, points in lines.items():
        steps, ms, low, high = (list(values) for values in zip(*points, strict=True))
        axes.errorbar(
            steps,
            ms,
            yerr=_beyond(ms, low, high),
            **line(names.index(name)),
            capsize=2,
            label=as_label(name),
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sorted({steps for points in lines.values() for steps, *_ in points}))
    low, high = axes.get_ylim()
    few = math.log10(high / low) <= MAX_DECADES
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    # Lines that lie close together show fewer than two of the ticks 1, 2 and 5.
    if few and sum(low <= tick <= high for tick in axes.get_yticks()) < 2:
        axes.yaxis.set_major_locator(LogLocator(subs=range(1, 10)))
    axes.set_xlabel("steps T")
    axes.set_ylabel("ms")


def _draw_bars(axes: Axes, lines: Lines, names: list[str]) -> None:
    """Draw a bar for each baseline, the shortest time on top, with the time beside it.

    Of a case that was timed twice, as by `--steps 4,4`, the last is drawn.
    """
    ordered = sorted(lines.items(), key=lambda each: each[1][-1][1])
    for row, (name, (*_, (_, ms, low, high))) in enumerate(ordered):
        colour = SERIES[names.index(name) % len(SERIES)]
        axes.barh(row, ms, color=colour, edgecolor=INK, linewidth=0.6, height=0.66)
        ends = _beyond([ms], [low], [high])
        axes.errorbar([ms], [row], xerr=ends, color=INK, capsize=2, linewidth=1)
        axes.annotate(
            f"{ms:.3g}",
            (high, row),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(ordered)), [as_label(name) for name, _ in ordered])
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.15)
    axes.set_xlim(left=0)
    axes.set_xlabel("ms")


def _beyond(middle: list[float], low: list[float], high: list[float]) -> list[list[float]]:
    """Return the lengths of error bars."""
    return [
        [m - at for m, at in zip(middle, low, strict=True)],
        [at - m for m, at in zip(middle, high, strict=True)],
    ]


def _add_legend(axes: Axes, lines: Lines) -> None:
    """Add a legend in the order of the lines at their right ends, the longest time on top."""
    handles, labels = axes.get_legend_handles_labels()
    last = {as_label(name): points[-1][1] for name, points in lines.items()}
    order = sorted(range(len(labels)), key=lambda i: -last[labels[i]])
    axes.legend([handles[i] for i in order], [labels[i] for i in order])


def panels_of(results: list[dict[str, Any]]) -> dict[str, Lines]:
    """Return (T, median, lower and upper quartile) in ms, by title and baseline."""
    found: dict[str, Lines] = {}
    for result in sorted(results, key=lambda result: result["case"]["steps"]):
        case = result["case"]
        for name, baseline in result["contestants"].items():
            for what, title in TITLES.items():
                if what in baseline:
                    spread = baseline[what]["seconds"]
                    heading = f"{case['model']}, {case['coding']}, batch {case['batch']}: {title}"
                    ms = [1e3 * spread[key] for key in ("median", "low", "high")]
                    lines = found.setdefault(heading, {})
                    lines.setdefault(name, []).append((case["steps"], *ms))
    return found
