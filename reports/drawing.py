"""How figures of a page are drawn: their style, and what tells lines apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..measure.figures.curves import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET, LINE = "#000000", "#888888", "#dddddd"
SERIES = COLOURS[:-1]  # the last is that of ink
MARKERS = "osD^vP"
LINES = ("-", "--", "-.", ":")
HALF = (4.7, 2.9)  # inches: two of them stand side by side
FULL = 9.6
MOST_LABELLED = 8  # points of a line

_STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # names are other people's, and no formulas
    "font.size": 9,
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


@dataclass(frozen=True)
class Drawing:
    """A figure, and in words what is seen on it."""

    figure: Figure
    says: str


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style of the page."""
    from matplotlib import rc_context

    with rc_context(_STYLE):
        yield


def line(i: int) -> dict[str, Any]:
    """Return how line number i is drawn: colour, marker and dashes tell it apart."""
    return {
        "color": SERIES[i % len(SERIES)],
        "marker": MARKERS[(i + i // len(SERIES)) % len(MARKERS)],  # other ones in each round
        "linestyle": LINES[i % len(LINES)],
        "markeredgecolor": INK,
        "markeredgewidth": 0.6,
    }


def panel(size: tuple[float, float]) -> tuple[Figure, Any]:
    """Return a figure with one panel; its size in inches."""
    figure, (axes,) = panels(size, 1, 1)
    return figure, axes


def panels(
    size: tuple[float, float], rows: int, columns: int, heights: Sequence[float] | None = None
) -> tuple[Figure, list[Any]]:
    """Return a figure with panels in rows, whose heights may differ."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, height_ratios=heights).flat)


def write(
    axes: Axes,
    text: str,
    place: tuple[float, float],
    shift: tuple[float, float],
    side: str,
    level: str = "baseline",
) -> None:
    """Write a text beside a point, so many points of print off it."""
    axes.annotate(text, place, shift, textcoords="offset points", ha=side, va=level, fontsize=8)


def some(points: list[Any]) -> list[Any]:
    """Return the points of a line that are labelled: all, or the first and the last."""
    return points if len(points) <= MOST_LABELLED else [points[0], points[-1]]


def shown(name: str) -> str:
    """Return a name that matplotlib shows: it leaves out those that begin with an underscore."""
    return f"\u200b{name}" if name.startswith("_") else name
