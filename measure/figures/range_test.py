"""Figure of a learning rate range test."""

from __future__ import annotations

import math
from pathlib import Path

from .files import save_figure
from .style import QUIET, line, panel, style


def draw_range_test(
    path: Path,
    rates: list[float],
    losses: list[float],
    smoothed: list[float],
    suggested: float | None,
    title: str,
) -> None:
    """Draw the loss against the learning rate, with the suggested rate.

    Raises:
        ConfigError: the suffix is not that of a picture.
        AsnnError: the file cannot be written.
    """
    with style():
        figure, axes = panel((5.2, 3.4))
        figure.suptitle(title, x=0.01, ha="left")
        axes.plot(rates, losses, ".", color=QUIET, markersize=3, label="loss of a step")
        axes.plot(rates, smoothed, **{**line(0), "marker": ""}, label="smoothed loss")
        if suggested is not None:
            axes.axvline(
                suggested, **{**line(1), "marker": ""}, label=f"suggested: {suggested:.2g}"
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")  # not a formula, which the style does not set
        axes.minorticks_off()
        axes.set_xlabel("learning rate")
        axes.set_ylabel("loss")
        early = [loss for loss in smoothed[: len(smoothed) // 2 + 1] if math.isfinite(loss)]
        low = min([0, *filter(math.isfinite, smoothed)])
        if early and max(early) > low:
            # The losses of divergence would flatten the rest.
            axes.set_ylim(1.1 * low, max(early) + 0.5 * abs(max(early)))
        axes.legend()
        save_figure(path, figure)
