"""Drawn outcomes: accuracy against steps and energy, confidence against accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .pictures import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "osD^vP*"


def tradeoff_figure(runs: Mapping[str, list[dict[str, Any]]]) -> Figure:
    """Return accuracy against mean steps and against energy, of what `tradeoff` returns.

    Fixed numbers of steps are a solid line with filled marks, rules of early exits a dashed one
    with hollow marks.

    Args:
        runs: rows of each network, by what to call it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for i, (label, rows) in enumerate(runs.items()):
        style = {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
        fixed = [row for row in rows if row["exit"] is None]
        ruled = sorted((row for row in rows if row["exit"]), key=lambda row: row["steps"])
        alone = len(runs) == 1
        lines = [
            (fixed, "first t steps" if alone else label, "-", style["color"]),
            (ruled, "by confidence" if alone else f"{label}, by confidence", "--", "none"),
        ]
        for points, name, line, face in lines:
            if not points:
                continue
            accuracy = [100 * row["accuracy"] for row in points]
            for axes, key, unit in ((left, "steps", 1), (right, "picojoules", 1e-6)):
                axes.plot(
                    [row[key] * unit for row in points],
                    accuracy,
                    linestyle=line,
                    markerfacecolor=face,
                    markersize=5,
                    label=name,
                    **style,
                )
    left.set_xlabel("mean steps")
    left.set_ylabel("accuracy, %")
    right.set_xlabel("energy of an image, µJ")
    right.set_xlim(left=0)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    left.legend(frameon=False, fontsize=8)
    return figure


def reliability_figure(bins: list[dict[str, Any]], error: float) -> Figure:
    """Return the reliability diagram of what `calibration` returns: accuracy of each bin of
    confidence against the diagonal, above how many samples it holds.

    Args:
        bins: of the confidence.
        error: expected calibration error.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    filled = [b for b in bins if b["samples"]]
    width = 1 / len(bins)
    low = [b["low"] for b in filled]
    upper.bar(low, [b["accuracy"] for b in filled], width, align="edge", color=COLOURS[5])
    upper.plot(
        [b["confidence"] for b in filled],
        [b["accuracy"] for b in filled],
        marker="o",
        color=COLOURS[0],
        label="accuracy at the mean confidence",
    )
    upper.plot([0, 1], [0, 1], linestyle="--", color="#666666", label="as sure as right")
    upper.set_ylabel("accuracy")
    upper.set_ylim(0, 1)
    upper.set_title(f"expected calibration error {100 * error:.2f} %", fontsize=10)
    upper.legend(frameon=False, fontsize=8, loc="upper left")
    lower.bar(low, [b["samples"] for b in filled], width, align="edge", color=COLOURS[5])
    lower.set_xlim(0, 1)
    lower.set_xlabel("confidence")
    lower.set_ylabel("samples")
    return figure
