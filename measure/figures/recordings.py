"""Figures of recordings: the events in space and time, beside the steps of one or several codes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...coding.samples import EventBatch
from ..encoding.samples import EncodedSample
from .files import save_figure
from .style import COLOURS, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure

MAX_EVENTS = 10_000  # drawn ones
STEPS_PER_ROW, MAX_ROWS = 6, 3
MIN_COLUMNS = 5  # for the heading, where there are fewer steps
MAX_PIXELS = 400  # of the longer side of a drawn frame
OFF, ON = COLOURS[0].lower(), COLOURS[1].lower()  # dark enough on white
BOTH = "#101010"  # as good as black, for which a page has the colour of its text
EVENTS_WIDTH, FRAME_WIDTH, ROW_TITLE = 4.2, 1.45, 0.42  # in inches
MIN_FRAME, MAX_FRAME, MIN_HEIGHT = 0.7, 1.9, 4.0


def draw_recording(path: Path, codes: Mapping[str, EncodedSample]) -> None:
    """Write `recording_figure` to a PNG, SVG or PDF file.

    Raises:
        ConfigError: the file has another suffix.
        AsnnError: the file cannot be written.
    """
    save_figure(path, recording_figure(codes))


def recording_figure(codes: Mapping[str, EncodedSample]) -> Figure:
    """Return a figure of one recording in one or several codes.

    Left: the events over column, time and row, at most `MAX_EVENTS` equally spaced ones, in the
    colour of their polarity. Right: the frames of each code, at most 18 equally spaced ones of one
    code, 6 each of several; all frames of a code share a scale. A sensor of one row has a panel of
    events over time and unit, and one of steps and units for each code.

    Args:
        codes: by name, one or more, of the same recording.
    """
    from matplotlib.figure import Figure

    first = next(iter(codes.values()))
    assert isinstance(first.sample, EventBatch)
    if first.sample.shape[1] == 1:
        return _row_figure(first.sample, codes)
    rows = {name: _shown_steps(len(one.steps), len(codes)) for name, one in codes.items()}
    longest = max(map(len, rows.values()))
    columns = min(max(longest, MIN_COLUMNS), STEPS_PER_ROW)
    height, width = first.steps.shape[2:]
    frame = min(max(FRAME_WIDTH * height / width, MIN_FRAME), MAX_FRAME)
    heights = [0.45 + _rows(shown) * (frame + ROW_TITLE) for shown in rows.values()]
    size = (EVENTS_WIDTH + columns * FRAME_WIDTH + 0.9, max(sum(heights), MIN_HEIGHT))
    figure = Figure(figsize=size, layout="constrained")
    ratios = (EVENTS_WIDTH, size[0] - EVENTS_WIDTH)
    left, right = figure.subfigures(1, 2, width_ratios=ratios, squeeze=False)[0]
    both = any(len(one.steps[0]) == 2 for one in codes.values())
    _draw_events(left.add_subplot(projection="3d"), first.sample, both=both)
    parts = right.subfigures(len(codes), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (name, one) in zip(parts, codes.items(), strict=True):
        _draw_frames(part, name, one, rows[name], columns)
    return figure


def facts(name: str, encoded: EncodedSample) -> str:
    """Return the code, its number of steps, and what went in and came out, in words."""
    found = encoded.figures()
    sums = (
        f"sum {found['sum']:,.1f}" if found["spikes"] is None else f"{found['spikes']:,.0f} spikes"
    )
    went = f"{found['events']:,} events in, {sums} out"
    return f"{name}, T = {len(encoded.steps)}: {went}, {found['nonzero']:.1%} of the values not 0"


def _shown_steps(number: int, codes: int) -> list[int]:
    """Return the steps that are drawn: all, or equally spaced ones including both ends."""
    limit = STEPS_PER_ROW if codes > 1 else STEPS_PER_ROW * MAX_ROWS
    return np.linspace(0, number - 1, min(number, limit)).round().astype(int).tolist()


def _rows(shown: list[int]) -> int:
    return -(-len(shown) // STEPS_PER_ROW)


def _drawn_events(events: EventBatch) -> tuple[dict[str, np.ndarray], str]:
    """Return equally spaced events, times in ms, and their number in words."""
    count = len(events.t)
    kept = torch.linspace(0, max(count - 1, 0), min(count, MAX_EVENTS), dtype=torch.float64)
    index = kept.round().long()
    columns = {name: getattr(events, name).cpu()[index].numpy() for name in "txyp"}
    columns["t"] = columns["t"] / 1000
    if len(index) == count:
        return columns, f"{count:,} events"
    return columns, f"{len(index):,} of {count:,} events, equally spaced"


def _draw_events(axes: Any, events: EventBatch, *, both: bool) -> None:
    """Draw the events over column, time and row, as the sensor saw them: rows count downwards.

    With `both` the legend has the colour of pixels with events of both polarities.
    """
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator

    columns, title = _drawn_events(events)
    _, height, width = events.shape
    for polarity, colour in ((0, OFF), (1, ON)):
        chosen = columns["p"] == polarity
        x, t, y = (columns[key][chosen] for key in "xty")
        size = 5 if len(columns["t"]) < MAX_EVENTS / 2 else 1.5
        axes.scatter(*(t, x, y), s=size, c=colour, alpha=0.7, linewidths=0, rasterized=True)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("time, ms", fontsize=8)
    axes.set_ylabel("x", fontsize=8, labelpad=-2)
    axes.set_zlabel("y", fontsize=8, labelpad=-4)
    axes.set_xlim(0, events.duration / 1000)
    axes.set_ylim(0, width)
    axes.set_zlim(height, 0)
    longest = max(height, width)
    axes.set_box_aspect((1.5, max(width / longest, 0.3), max(height / longest, 0.3)), zoom=0.88)
    axes.view_init(elev=18, azim=-58)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_major_locator(MaxNLocator(4, integer=True))
    axes.tick_params(labelsize=7, pad=0)
    marks = [Patch(color=OFF, label="off"), Patch(color=ON, label="on")]
    if both:
        marks.append(Patch(color=BOTH, label="both in a frame"))
    axes.legend(
        handles=marks, loc="lower center", bbox_to_anchor=(0.5, -0.12), ncols=3, fontsize=8,
        frameon=False,
    )  # fmt: skip


def _draw_frames(
    part: SubFigure, name: str, encoded: EncodedSample, shown: list[int], columns: int
) -> None:
    part.suptitle(facts(name, encoded), fontsize=9, x=0.01, ha="left")
    panels = part.subplots(_rows(shown), columns, squeeze=False)
    low, high = _limits(encoded.steps)
    for axes in panels.ravel()[len(shown) :]:
        axes.set_axis_off()
    images = [
        _draw_frame(axes, encoded.steps[t], f"t = {t + 1}", low, high)
        for axes, t in zip(panels.ravel(), shown, strict=False)
    ]
    if len(encoded.steps[0]) == 1:
        ends = _beyond(encoded.steps, low, high)
        bar = part.colorbar(images[0], ax=panels.ravel().tolist(), pad=0.01, extend=ends)
        bar.ax.tick_params(labelsize=7)


def _limits(steps: Tensor) -> tuple[float, float]:
    """Return the ends of the scale that the frames of a code share.

    One value of a hundred is beyond it, so that a few busy pixels do not make all others pale.
    """
    sizes = steps[steps != 0].abs().float().cpu().numpy()
    largest = float(np.quantile(sizes, 0.99)) if len(sizes) else 1.0
    return (-largest if bool((steps < 0).any()) else 0.0), largest


def _beyond(steps: Tensor, low: float, high: float) -> str:
    """Return at which ends of a scale there are values beyond it, as matplotlib names them."""
    return {
        (False, False): "neither",
        (True, False): "min",
        (False, True): "max",
        (True, True): "both",
    }[bool((steps < low).any()), bool((steps > high).any())]


def _draw_frame(axes: Axes, step: Tensor, title: str, low: float, high: float) -> Any:
    stride = -(-max(step.shape[1:]) // MAX_PIXELS)
    values = _largest_of_blocks(step.float().cpu(), (stride, stride)).numpy()
    axes.set_title(title, fontsize=8, pad=2)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(QUIET)
    if len(values) == 2:
        return axes.imshow(_two_colours(values / high), interpolation="nearest")
    return axes.imshow(values[0], cmap=_map(low), vmin=low, vmax=high, interpolation="nearest")


def _largest_of_blocks(step: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the value of largest magnitude of each block of `[C, H, W]`, so that none is lost."""
    if size == (1, 1):
        return step
    positive, negative = (
        torch.nn.functional.max_pool2d(each.unsqueeze(0), size, ceil_mode=True)[0]
        for each in (step, -step)
    )
    return torch.where(positive >= negative, positive, -negative)


def _two_colours(shares: np.ndarray) -> np.ndarray:
    """Return colours `[H, W, 3]` of off and on in [0, 1]: white for none, both mixed for both."""
    from matplotlib.colors import to_rgb

    # A root, so that a single event is seen beside a hundred.
    inks = [1 - np.array(to_rgb(colour)) for colour in (OFF, ON)]
    ink = np.tensordot(np.sqrt(shares.clip(0, 1)), inks, axes=(0, 0))
    return (1 - ink).clip(0, 1)


def _map(low: float) -> Colormap:
    """Return colours from white to black, or from off over white to on for values below 0 too."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = [OFF, "white", ON] if low < 0 else ["white", "#222222"]
    return LinearSegmentedColormap.from_list("events", colours)


def _row_figure(events: EventBatch, codes: Mapping[str, EncodedSample]) -> Figure:
    """Return a figure of a sensor of one row: its units down, time across."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * (1 + len(codes)), 4.2), layout="constrained")
    panels = figure.subplots(1, 1 + len(codes), squeeze=False)[0]
    columns, title = _drawn_events(events)
    for polarity, colour in ((0, OFF), (1, ON)):
        chosen = columns["p"] == polarity
        x, t = columns["x"][chosen], columns["t"][chosen]
        panels[0].scatter(t, x, s=2, c=colour, linewidths=0, rasterized=True)
    panels[0].set_title(title, fontsize=10)
    panels[0].set_xlabel("time, ms")
    panels[0].set_ylabel("unit")
    panels[0].set_xlim(0, events.duration / 1000)
    panels[0].set_ylim(-0.5, events.shape[2] - 0.5)
    for axes, (name, one) in zip(panels[1:], codes.items(), strict=True):
        low, high = _limits(one.steps)
        units = one.steps.float().cpu().flatten(1).T.unsqueeze(0)
        drawn = _largest_of_blocks(units, (-(-units.shape[1] // MAX_PIXELS), 1))[0].numpy()
        extent = (0.5, len(one.steps) + 0.5, -0.5, units.shape[1] - 0.5)
        image = axes.imshow(
            drawn, cmap=_map(low), vmin=low, vmax=high, aspect="auto", origin="lower",
            extent=extent, interpolation="nearest",
        )  # fmt: skip
        axes.set_title(facts(name, one).replace(": ", "\n"), fontsize=9)
        axes.set_xlabel("step")
        axes.set_ylabel("unit")
        figure.colorbar(image, ax=axes, shrink=0.8, extend=_beyond(one.steps, low, high))
    return figure
