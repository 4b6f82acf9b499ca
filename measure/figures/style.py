"""The style of all figures, in files and in reports: readable without colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# The palette of Okabe and Ito, which is safe for colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK, QUIET, LINE = "#000000", "#888888", "#dddddd"
SERIES = COLOURS[:-1]  # the last colour is that of text
MARKERS = "osD^vP"
DASHES = ("-", "--", "-.", ":")
MAX_LABELLED = 8  # points per line
ZERO_WIDTH = "\u200b"

_STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # names of runs and layers are not formulas
    "font.size": 9,
    "figure.titlesize": 10,
    "figure.titleweight": "bold",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.color": QUIET,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "asnn",
}


@contextmanager
def style() -> Iterator[None]:
    """Set the style of figures that are made within."""
    from matplotlib import rc_context

    with rc_context(_STYLE):
        yield


def line(i: int) -> dict[str, Any]:
    """Return colour, marker and dashes of line number i."""
    return {
        "color": SERIES[i % len(SERIES)],
        "marker": MARKERS[
            (i + i // len(SERIES)) % len(MARKERS)
        ],  # others after each round of colours
        "linestyle": DASHES[i % len(DASHES)],
        "markeredgecolor": INK,
        "markeredgewidth": 0.6,
    }


def panel(size: tuple[float, float]) -> tuple[Figure, Any]:
    """Return a figure with one panel; the size is in inches."""
    figure, (axes,) = panels(size, 1, 1)
    return figure, axes


def panels(
    size: tuple[float, float],
    rows: int,
    columns: int,
    heights: Sequence[float] | None = None,
    **options: Any,
) -> tuple[Figure, list[Any]]:
    """Return a figure with a grid of panels.

    Args:
        size: in inches.
        rows, columns: of the grid.
        heights: relative heights of the rows.
        options: of `Figure.subplots`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, height_ratios=heights, **options)
    return figure, list(grid.flat)


def whole_ticks(axis: Axis) -> None:
    """Put ticks at whole numbers only: steps and epochs."""
    locator: Any = axis.get_major_locator()
    locator.set_params(integer=True)


def write(
    axes: Axes,
    text: str,
    point: tuple[float, float],
    offset: tuple[float, float],
    ha: str,
    va: str = "baseline",
) -> None:
    """Write a text beside a data point, at an offset in typographic points."""
    axes.annotate(text, point, offset, textcoords="offset points", ha=ha, va=va, fontsize=8)


def labelled(points: list[Any]) -> list[Any]:
    """Return the points of a line to label: all, or the first and the last of many."""
    return points if len(points) <= MAX_LABELLED else [points[0], points[-1]]


def as_label(name: str) -> str:
    """Return a name as a label; matplotlib would hide one that begins with an underscore."""
    return f"{ZERO_WIDTH}{name}" if name.startswith("_") else name
