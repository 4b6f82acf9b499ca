"""Pictures of codes: an image, its steps, what can be decoded, the error, where the spikes are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..encoding import Coded
from .curves import COLOURS, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches: a panel with the gap on its right, or with its title; what stands around them.
PANEL, GAP, TITLE = 1.25, 0.12, 0.3
COLUMN, ROW = PANEL + GAP, PANEL + TITLE + 0.15
HEAD, FOOT, LABEL, SCALE, RASTER = 0.65, 0.3, 1.85, 0.4, 2.0
MAPS = 3 * COLUMN + 2 * SCALE + GAP
A_ROW, LEAST_COLUMNS = 8, 7
MOST_STEPS = 2 * A_ROW  # panels of one code; its raster shows all steps
MOST_RASTER_ROWS = 100
MOST_MARKS = 20_000
MOST_PIXELS = 400  # a side of an image, as it is drawn
ERRORS, COUNTS = "magma", "cividis"  # both rise in lightness, for eyes of any kind and for print
QUIET = "#888888"


def draw_code(path: Path, coded: Coded) -> None:
    """Write `code_figure` to a PNG, SVG or PDF file.

    Raises:
        ConfigError: the name ends otherwise.
        AsnnError: the file cannot be written.
    """
    save_figure(path, code_figure(coded))


def draw_codes(path: Path, codes: Sequence[Coded]) -> None:
    """Write `codes_figure` to a PNG, SVG or PDF file.

    Raises:
        ConfigError: the name ends otherwise.
        AsnnError: the file cannot be written.
    """
    save_figure(path, codes_figure(codes))


def code_figure(coded: Coded) -> Figure:
    """Return a drawing of one image in one code.

    Above stand the image and its steps, evenly spread ones where there are more than `MOST_STEPS`;
    below what is decoded, its error |decoded - image|, how often each pixel fires over all steps,
    and a raster of spikes. Three channels are colours where values are analog. Of spikes, errors
    and counts the mean over channels is shown: the more channels of a pixel fire, the brighter.
    """
    from matplotlib.figure import Figure

    shown = _spread(len(coded.steps), MOST_STEPS)
    rows = -(-len(shown) // A_ROW)
    across = max(1 + min(len(shown), A_ROW), LEAST_COLUMNS) * COLUMN + GAP
    below = HEAD + ROW * rows
    figure = Figure(figsize=(across, below + PANEL + FOOT))
    heading = f"{coded.coding.name}, T = {len(coded.steps)}: {', '.join(facts(coded))}"
    figure.text(GAP / across, 1 - GAP / figure.get_figheight(), heading, va="top", fontsize=10)
    _draw_image(_panel(figure, GAP, HEAD), coded)
    for number, t in enumerate(shown):
        row, column = divmod(number, A_ROW)
        _draw_step(_panel(figure, GAP + (1 + column) * COLUMN, HEAD + row * ROW), coded, t)
    left = _draw_maps(figure, GAP, below, coded, *_scales([coded]))
    _draw_raster(_panel(figure, left, below, across - left - GAP), coded)
    return figure


def codes_figure(codes: Sequence[Coded]) -> Figure:
    """Return a drawing of one image in several codes: a row for each, as `code_figure` shows it.

    Errors and counts of all codes have one scale. A row has as many steps as fit, evenly spread.

    Args:
        codes: one or more, of the same image.
    """
    from matplotlib.figure import Figure

    steps = max(len(_spread(len(coded.steps), A_ROW)) for coded in codes)
    maps = LABEL + (1 + steps) * COLUMN
    across = maps + MAPS + RASTER + GAP
    figure = Figure(figsize=(across, len(codes) * ROW + GAP))
    scales = _scales(codes)
    for row, coded in enumerate(codes):
        top = TITLE + row * ROW
        label = _panel(figure, GAP, top)
        label.set_axis_off()
        label.text(0, 1, coded.coding.name, weight="bold", va="top", fontsize=10)
        label.text(0, 0.8, "\n".join(facts(coded)), va="top", fontsize=8, linespacing=1.5)
        _draw_image(_panel(figure, LABEL, top), coded)
        for column, t in enumerate(_spread(len(coded.steps), A_ROW), start=1):
            _draw_step(_panel(figure, LABEL + column * COLUMN, top), coded, t)
        left = _draw_maps(figure, maps, top, coded, *scales)
        _draw_raster(_panel(figure, left, top, across - left - GAP), coded)
    return figure


def facts(coded: Coded) -> list[str]:
    """Return in words how many spikes a code spends on an image, and what it loses."""
    found = coded.figures()
    said = ["no spikes"]
    if found["first_spike"] is not None:
        said = [f"{found['spikes_per_pixel']:.2f} spikes per {_unit(coded)}"]
        said.append(f"mean first spike: step {found['first_spike']:.1f}")
    if found["exact"] is None:
        return [*said, "cannot be decoded"]
    if found["exact"]:
        return [*said, "decoded exactly"]
    return [*said, f"RMSE {found['rmse']:.4f}", f"PSNR {found['psnr_db']:.1f} dB"]


def _unit(coded: Coded) -> str:
    """Return what fires: a pixel, or each of its channels with a value of its own."""
    return "pixel" if len(coded.image) == 1 else "value"


def _spread(number: int, most: int) -> list[int]:
    """Return 0 .. number - 1, or so many of them from the first to the last, evenly spread."""
    kept = torch.linspace(0, number - 1, min(number, most), dtype=torch.float64)
    return kept.round().long().tolist()


def _scales(codes: Sequence[Coded]) -> tuple[float, float]:
    """Return the greatest error and the greatest number of spikes that a pixel has in any code."""
    errors = [
        float(_pixels(error).max()) for coded in codes if (error := coded.error()) is not None
    ]
    return max(errors, default=0), max(float(_pixels(coded.spikes()).max()) for coded in codes)


def _draw_image(axes: Axes, coded: Coded) -> None:
    _show(axes, "image", _coloured(coded.image))


def _draw_step(axes: Axes, coded: Coded, t: int) -> None:
    step = coded.steps[t]
    if t < coded.coding.analog_steps:
        _show(axes, f"t = {t + 1}, analog", _coloured(step))
    else:  # some codes count
        _show(axes, f"t = {t + 1}", _pixels(step), top=max(1, float(step.max())))


def _draw_maps(
    figure: Figure, left: float, top: float, coded: Coded, most_error: float, most_spikes: float
) -> float:
    """Draw what is decoded, its error and the number of spikes; return where they end."""
    decoded = _panel(figure, left, top)
    errors = _panel(figure, left + COLUMN, top)
    counts = _panel(figure, left + 2 * COLUMN + SCALE, top)
    error = coded.error()
    if coded.decoded is None or error is None:
        for axes in (decoded, errors):
            axes.set_axis_off()
        decoded.text(0, 0.5, "cannot be decoded", va="center", color=QUIET)
    else:
        _show(decoded, "decoded", _coloured(coded.decoded))
        _show(errors, "error", _pixels(error), ERRORS, most_error)
        if most_error:
            _draw_scale(errors)
        if not error.any():
            _say(errors, "none", 0.5, transform=errors.transAxes, color="white")
    _show(counts, f"spikes per {_unit(coded)}", _pixels(coded.spikes()), COUNTS, most_spikes)
    if most_spikes:
        _draw_scale(counts, whole=True)
    return left + MAPS


def _draw_scale(axes: Axes, *, whole: bool = False) -> None:
    """Draw what the colours of a map stand for, on its right."""
    from matplotlib.ticker import MaxNLocator

    bar = axes.figure.colorbar(axes.images[0], cax=axes.inset_axes((1.04, 0, 0.06, 1)))
    bar.locator = MaxNLocator(4, integer=whole)
    bar.ax.tick_params(labelsize=7)


def _draw_raster(axes: Axes, coded: Coded) -> None:
    """Draw a row for each value, or for evenly spread ones where there are too many."""
    from matplotlib.ticker import MaxNLocator

    values, analog = coded.steps.flatten(1).T.cpu(), coded.coding.analog_steps
    most = min(MOST_RASTER_ROWS, max(MOST_MARKS // len(coded.steps), 1))
    kept = torch.tensor(_spread(len(values), most))
    rows, steps = values[kept, analog:].nonzero(as_tuple=True)
    axes.set_title("spikes by step", fontsize=9)
    axes.scatter(steps + analog + 1, rows, marker="|", s=9, color=COLOURS[0], rasterized=True)
    axes.set_xlim(0.5, len(coded.steps) + 0.5)
    axes.set_ylim(len(kept) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_yticks([])
    axes.tick_params(labelsize=7)
    of = "" if len(kept) == len(values) else f"{len(kept)} of "
    axes.set_ylabel(f"{of}{len(values):,} {_unit(coded)}s", fontsize=7)
    if analog:
        axes.axvspan(0.5, analog + 0.5, color="#dddddd")
        place = axes.get_xaxis_transform()
        _say(axes, "analog", (analog + 1) / 2, transform=place, rotation=90, fontsize=8)


def _say(axes: Axes, text: str, x: float, **look: Any) -> None:
    axes.text(x, 0.5, text, ha="center", va="center", **look)


def _panel(figure: Figure, left: float, top: float, width: float = PANEL) -> Axes:
    """Return axes whose upper left corner lies so many inches from that of the figure."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + PANEL) / down, width / across, PANEL / down))


def _show(axes: Axes, title: str, values: Any, colours: str = "gray", top: float = 1) -> None:
    """Show an array `[H, W]` from 0 to `top`, or colours `[H, W, 3]`."""
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(QUIET)
    axes.imshow(values, cmap=colours, vmin=0, vmax=top or 1, interpolation="nearest")


def _coloured(image: Tensor) -> Any:
    """Return values as colours `[H, W, 3]`, or as grey `[H, W]` if there are not three channels."""
    if len(image) != 3:
        return _pixels(image).clip(0, 1)
    return _thinned(image).detach().float().cpu().clamp(0, 1).permute(1, 2, 0).numpy()


def _pixels(image: Tensor) -> Any:
    """Return the mean over channels, `[H, W]`."""
    return _thinned(image).detach().float().cpu().mean(0).numpy()


def _thinned(image: Tensor) -> Tensor:
    """Return every n-th row and column of an image `[C, H, W]` of more than MOST_PIXELS a side."""
    stride = -(-max(image.shape[1:]) // MOST_PIXELS)
    return image[:, ::stride, ::stride]
