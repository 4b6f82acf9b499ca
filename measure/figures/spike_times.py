"""Figures of exact spike times: a sample with the time of each address, and rasters."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...coding.samples import EventBatch
from ..encoding.times import EncodedTimes
from .codes import COUNTS, downsampled, draw_scale, show_image, show_values
from .files import save_figure
from .style import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_ROWS = 160  # of a raster
MAX_SPIKES = 6_000  # that a raster draws
MAX_SHAPE = 16  # of a map: its width by its height
HEIGHT, MAP, RASTER = 2.6, 2.4, 3.6  # of the figure and of its panels, in inches
FIRST = "viridis"  # increases in lightness
DASH, MIN_DASH = 0.35, 0.008  # half of a dash: in rows, and at least in all of them


def draw_times(path: Path, encoded: EncodedTimes) -> None:
    """Write `times_figure` to a PNG, SVG or PDF file.

    Raises:
        ConfigError: the file has another suffix.
        AsnnError: the file cannot be written.
    """
    save_figure(path, times_figure(encoded))


def times_figure(encoded: EncodedTimes) -> Figure:
    """Return a figure of one sample in exact times.

    From the left: the image, when each pixel fires first (the earliest of its channels), how often
    it fires where that is more than once, and a raster of the addresses over real time. A sensor of
    one row has a raster alone.
    """
    from matplotlib.figure import Figure

    maps = [] if isinstance(encoded.sample, EventBatch) else ["image"]
    height, width = encoded.times.shape[1:3]
    if width <= MAX_SHAPE * height:
        maps += ["first spike"] + (["spikes"] if encoded.times.shape[-1] > 1 else [])
    widths = [MAP] * len(maps) + [RASTER]
    figure = Figure(figsize=(sum(widths), HEIGHT), layout="constrained")
    figure.suptitle(f"{encoded.coding.name}: {', '.join(facts(encoded))}", fontsize=10)
    *panels, raster = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    for name, axes in zip(maps, panels, strict=True):
        if name == "image":
            show_image(axes, "image", encoded.sample)  # type: ignore[arg-type]
        elif name == "spikes":
            counts = downsampled(encoded.counts().sum(0, keepdim=True))[0].numpy()
            show_values(axes, "spikes", counts, COUNTS, float(counts.max()))
            draw_scale(axes, integer=True)
        else:
            _show_first(axes, downsampled(encoded.first().amin(0, keepdim=True))[0])
    times = encoded.times.flatten(0, 2)
    drawn = draw_raster(raster, times)
    raster.set_title("spikes over real time", fontsize=9)
    raster.set_xlabel("time", fontsize=8)
    raster.set_ylabel(counted(times, drawn), fontsize=8)
    raster.tick_params(labelsize=7)
    return figure


def facts(encoded: EncodedTimes) -> list[str]:
    """Return the number of spikes, their times and the error of an encoded sample, in words."""
    found = encoded.figures()
    said = [] if found["events"] is None else [f"{found['events']:,} events in"]
    spikes, silent = found["spikes"], found["silent"]
    said.append(f"{spikes:,} spike{'s' * (spikes != 1)} of {found['addresses']:,} addresses")
    said.append(f"{silent:,} silent")
    if spikes:
        said.append(f"mean first spike at {found['first_spike']:.3g}")
        said.append(f"the last at {found['last_spike']:.3g}")
    if found["exact"] is None:
        return said
    return [*said, "decoded exactly" if found["exact"] else f"RMSE {found['rmse']:.4f}"]


def draw_raster(
    axes: Axes, times: Tensor, *, every: bool = False, end: float | None = None
) -> Tensor:
    """Draw a dash for each spike, a row for each neuron that fires; return which are drawn.

    They are evenly spaced, at most `MAX_ROWS`, fewer of neurons with many spikes.

    Args:
        axes: of the raster.
        times: `[N, S]`, +inf for none.
        every: silent neurons have rows too.
        end: of the time axis; the last spike by default.
    """
    fires = torch.ones(len(times), dtype=torch.bool) if every else times.isfinite().any(1)
    neurons = fires.nonzero().flatten()
    shown = neurons[evenly_spaced(len(neurons), MAX_ROWS)]
    spikes = int(times[shown].isfinite().sum())
    if spikes > MAX_SPIKES:
        shown = neurons[evenly_spaced(len(neurons), max(1, len(shown) * MAX_SPIKES // spikes))]
    row, rank = times[shown].isfinite().nonzero(as_tuple=True)
    at, half = times[shown][row, rank].tolist(), max(DASH, len(shown) * MIN_DASH)
    # One path for all spikes: a dash up, a gap, and so on.
    x = [v for t in at for v in (t, t, math.nan)]
    y = [v for n in row.tolist() for v in (n + 1 - half, n + 1 + half, math.nan)]
    axes.plot(x, y, color=COLOURS[0], linewidth=1.4, solid_capstyle="butt")
    end = (max(at, default=0.0) if end is None else end) or 1.0
    axes.set_xlim(-0.02 * end, 1.02 * end)
    axes.set_ylim(max(len(shown), 1) + 0.5, 0.5)
    axes.grid(visible=False, axis="y")
    axes.set_yticks([])
    return shown


def counted(times: Tensor, shown: Tensor) -> str:
    """Return how many neurons of `times` `[N, S]` fire, of which some are shown, in words."""
    firing = int(times.isfinite().any(1).sum())
    of = f"{len(shown)} of " if len(shown) < firing else ""
    return f"{of}{firing:,} firing, {len(times) - firing:,} silent"


def evenly_spaced(number: int, limit: int) -> Tensor:
    """Return 0 .. number - 1, or `limit` evenly spaced ones including both ends, int64."""
    kept = torch.linspace(0, number - 1, min(number, limit), dtype=torch.float64)
    return kept.round().long()


def _show_first(axes: Axes, first: Tensor) -> None:
    """Show the time of the first spike of each pixel `[H, W]`; silent ones are white."""
    import numpy as np

    times: Any = np.ma.masked_invalid(first.cpu().numpy())
    top = float(times.max()) if times.count() else 0.0
    show_values(axes, "first spike", times, FIRST, top)
    if top:
        draw_scale(axes)
