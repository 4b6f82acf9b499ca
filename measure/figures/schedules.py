"""Learned schedules: leak, gain and scale by step."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from .files import save_figure
from .style import as_label, line, panels, style, whole_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Layers = dict[str, list[float]]

WIDTH, HEIGHT = 3.6, 2.9  # of a panel, in inches
MAX_MARKED = 16  # points of a line
MANY = 7  # layers whose legend is beside the panels


def kinds_of(schedules: dict[str, Layers]) -> dict[str, Layers]:
    """Return the values by step of each layer, by kind, of those with several steps.

    Args:
        schedules: by layer and kind, of `measure.schedules`.
    """
    kinds: dict[str, Layers] = {}
    for layer, values in schedules.items():
        for kind, by_step in values.items():
            if len(by_step) > 1:
                kinds.setdefault(kind, {})[layer] = by_step
    return dict(sorted(kinds.items()))


def most_steps(schedules: dict[str, Layers]) -> int:
    """Return T: the steps of the longest schedule; those behind an accumulator have fewer."""
    lengths = (len(values) for by_kind in schedules.values() for values in by_kind.values())
    return max(lengths, default=1)


def ends_of(values: list[float], steps: int) -> range:
    """Return the step of each value: of windows their ends, if that many share the steps."""
    every = steps // len(values) if steps % len(values) == 0 else 1
    return range(every, every * len(values) + 1, every)


def draw_schedule(axes: Axes, layers: Layers, names: list[str], steps: int = 1) -> None:
    """Draw the values of each layer by step, on an axis that includes 0: a change is seen as the
    share that it is.

    Args:
        axes: the panel.
        layers: values by step.
        names: of all layers, each of which has the same line in every panel.
        steps: T of the network, if these layers may all be behind an accumulator.
    """
    for layer, values in layers.items():
        every = max(1, len(values) // MAX_MARKED)
        at = line(names.index(layer))
        ends = ends_of(values, max(steps, len(values)))
        axes.plot(ends, values, **at, markevery=every, label=as_label(layer))
    finite = [value for values in layers.values() for value in values if math.isfinite(value)]
    low, high = min([0, *finite]), max([0, *finite])
    margin = 0.06 * (high - low)
    # 0 is the edge of the panel, unless there are values on both sides of it.
    axes.set_ylim(low - margin if low else 0, high + margin if high else 0 if low else 1)
    axes.set_xlabel("step")
    whole_ticks(axes.xaxis)


def draw_schedules(path: Path, schedules: dict[str, Layers], title: str = "") -> None:
    """Draw the result of `measure.schedules`: a panel for each kind, a line for each layer.

    Args:
        path: the file.
        schedules: by layer and kind.
        title: the name of the run.

    Raises:
        AsnnError: the file cannot be written.
    """
    kinds = kinds_of(schedules)
    names = list(schedules)
    columns = max(len(kinds), 1)
    longest = max((len(layers) for layers in kinds.values()), default=0)
    beside = longest > MANY
    height = HEIGHT + (0.3 if title else 0) + (0.18 * max(0, longest - 14) if beside else 0)
    with style():
        figure, grid = panels((WIDTH * columns + (1.2 if beside else 0), height), 1, columns)
        if title:
            figure.suptitle(as_label(title), x=0.01, ha="left")
        for axes, (kind, layers) in zip(grid, kinds.items(), strict=False):
            axes.set_title(f"{kind.replace('_', ' ').capitalize()} by step")
            draw_schedule(axes, layers, names, most_steps(schedules))
            if not beside:
                axes.legend()
        if beside:
            drawn = {h.get_label(): h for axes in grid for h in axes.lines}
            figure.legend(handles=list(drawn.values()), loc="outside right upper")
        if not kinds:
            grid[0].set_axis_off()
            grid[0].text(0.5, 0.5, "nothing is scheduled", ha="center")
        save_figure(path, figure)
