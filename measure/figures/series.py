"""Figures of series: each value over time, or the raster of a series of spikes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..encoding.samples import EncodedSample
from .files import save_figure
from .style import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_ROWS = 512  # of drawn values; more are evenly spaced
MAX_MARKS = 50_000
MAX_UNITS_OF_RASTER = 100
VALUES, SIGNED = "cividis", "PuOr"  # safe for colour-blind readers


def draw_series(path: Path, encoded: EncodedSample) -> None:
    """Write `series_figure` to a PNG, SVG or PDF file.

    Raises:
        ConfigError: the file has another suffix.
        AsnnError: the file cannot be written.
    """
    save_figure(path, series_figure(encoded))


def series_figure(encoded: EncodedSample) -> Figure:
    """Return a figure of one series: a row for each value, time across.

    Spikes are marks (a heat map if there are many), values a heat map with its scale. A code that
    joins steps or leaves some out is drawn below the series; the last window has the rest.
    """
    from matplotlib.figure import Figure

    assert isinstance(encoded.sample, Tensor)
    series = encoded.sample[0]
    is_same = series.shape == encoded.steps.shape and torch.equal(series.float(), encoded.steps)
    panels = [] if is_same else [("series", series, False)]
    panels.append((encoded.coding.name, encoded.steps, encoded.coding.analog_steps == 0))
    figure = Figure(figsize=(9, 3.6 * len(panels)), layout="constrained")
    for axes, (name, values, spikes) in zip(
        figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True
    ):
        _draw(axes, values.flatten(1).float().cpu(), name, spikes)
    return figure


def _draw(axes: Axes, values: Tensor, name: str, spikes: bool) -> None:
    """Draw values `[T, F]`."""
    from matplotlib.ticker import MaxNLocator

    steps, units = values.shape
    kept = np.linspace(0, units - 1, min(units, MAX_ROWS)).round().astype(int)
    drawn = values[:, torch.from_numpy(kept)].T.numpy()
    count = int((values != 0).sum())
    low, high = float(values.min()), float(values.max())
    said = f"{count:,} spikes" if spikes else f"values from {low:.4g} to {high:.4g}"
    of = "" if len(kept) == units else f", {len(kept)} of them drawn"
    axes.set_title(f"{name}: {steps:,} steps of {units:,} values{of}; {said}", fontsize=10)
    axes.set_xlabel("step")
    axes.set_ylabel("value")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    if spikes and len(kept) <= MAX_UNITS_OF_RASTER and count <= MAX_MARKS:
        rows, times = drawn.nonzero()
        # A mark fills its row, so that neither few nor many rows leave it thin.
        axes.vlines(times + 1, rows - 0.4, rows + 0.4, color=COLOURS[0], linewidth=0.8)
        axes.set_xlim(0.5, steps + 0.5)
        axes.set_ylim(-0.5, len(kept) - 0.5)
        return
    signed = low < 0 < high and min(-low, high) > 0.2 * max(-low, high)
    if signed:
        low, high = -max(-low, high), max(-low, high)
    image = axes.imshow(
        drawn, aspect="auto", origin="lower", interpolation="nearest",
        cmap="Greys" if spikes else SIGNED if signed else VALUES, vmin=low, vmax=high,
        extent=(0.5, steps + 0.5, -0.5, units - 0.5),
    )  # fmt: skip
    if not spikes:
        axes.figure.colorbar(image, ax=axes, pad=0.01)
