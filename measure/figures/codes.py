"""Figures of codes: an image, its steps, the decoded image, the error, and a raster of spikes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..encoding.images import EncodedImage
from .files import save_figure
from .style import COLOURS, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# In inches: panels with gaps and titles, and the margins around them.
PANEL, GAP, TITLE = 1.25, 0.12, 0.3
COLUMN, ROW = PANEL + GAP, PANEL + TITLE + 0.15
HEAD, FOOT, LABEL, SCALE, RASTER = 0.65, 0.3, 1.85, 0.4, 2.0
MAPS = 3 * COLUMN + 2 * SCALE + GAP
PANELS_PER_ROW, MIN_COLUMNS = 8, 7
MAX_STEPS = 2 * PANELS_PER_ROW  # panels of one code; the raster shows all steps
MAX_RASTER_ROWS = 100
MAX_MARKS = 20_000
MAX_PIXELS = 400  # of the longer side of a drawn image
# Both increase in lightness: safe for colour-blind readers and for print.
ERRORS, COUNTS = "magma", "cividis"


def draw_code(path: Path, encoded: EncodedImage) -> None:
    """Write `code_figure` to a PNG, SVG or PDF file.

    Raises:
        ConfigError: the file has another suffix.
        AsnnError: the file cannot be written.
    """
    save_figure(path, code_figure(encoded))


def draw_codes(path: Path, codes: Sequence[EncodedImage]) -> None:
    """Write `codes_figure` to a PNG, SVG or PDF file.

    Raises:
        ConfigError: the file has another suffix.
        AsnnError: the file cannot be written.
    """
    save_figure(path, codes_figure(codes))


def code_figure(encoded: EncodedImage) -> Figure:
    """Return a figure of one image in one code.

    Top: the image and its steps, at most `MAX_STEPS` evenly spaced ones. Bottom: the decoded image,
    its error |decoded - image|, the number of spikes of each pixel, and a raster of spikes. Analog
    values of three channels are drawn in colour; spikes, errors and counts as means over channels.
    """
    from matplotlib.figure import Figure

    shown = _evenly_spaced(len(encoded.steps), MAX_STEPS)
    rows = -(-len(shown) // PANELS_PER_ROW)
    across = max(1 + min(len(shown), PANELS_PER_ROW), MIN_COLUMNS) * COLUMN + GAP
    below = HEAD + ROW * rows
    figure = Figure(figsize=(across, below + PANEL + FOOT))
    heading = f"{encoded.coding.name}, T = {len(encoded.steps)}: {', '.join(facts(encoded))}"
    figure.text(GAP / across, 1 - GAP / figure.get_figheight(), heading, va="top", fontsize=10)
    _draw_image(_panel(figure, GAP, HEAD), encoded)
    for number, t in enumerate(shown):
        row, column = divmod(number, PANELS_PER_ROW)
        _draw_step(_panel(figure, GAP + (1 + column) * COLUMN, HEAD + row * ROW), encoded, t)
    left = _draw_maps(figure, GAP, below, encoded, *_scales([encoded]))
    _draw_raster(_panel(figure, left, below, across - left - GAP), encoded)
    return figure


def codes_figure(codes: Sequence[EncodedImage]) -> Figure:
    """Return a figure of one image in several codes: the panels of `code_figure`, a row for each.

    All codes share the scales of errors and counts. A row shows at most `PANELS_PER_ROW` steps.

    Args:
        codes: one or more, of the same image.
    """
    from matplotlib.figure import Figure

    steps = max(len(_evenly_spaced(len(encoded.steps), PANELS_PER_ROW)) for encoded in codes)
    maps = LABEL + (1 + steps) * COLUMN
    across = maps + MAPS + RASTER + GAP
    figure = Figure(figsize=(across, len(codes) * ROW + GAP))
    scales = _scales(codes)
    for row, encoded in enumerate(codes):
        top = TITLE + row * ROW
        label = _panel(figure, GAP, top)
        label.set_axis_off()
        label.text(0, 1, encoded.coding.name, weight="bold", va="top", fontsize=10)
        label.text(0, 0.8, "\n".join(facts(encoded)), va="top", fontsize=8, linespacing=1.5)
        _draw_image(_panel(figure, LABEL, top), encoded)
        for column, t in enumerate(_evenly_spaced(len(encoded.steps), PANELS_PER_ROW), start=1):
            _draw_step(_panel(figure, LABEL + column * COLUMN, top), encoded, t)
        left = _draw_maps(figure, maps, top, encoded, *scales)
        _draw_raster(_panel(figure, left, top, across - left - GAP), encoded)
    return figure


def facts(encoded: EncodedImage) -> list[str]:
    """Return the number of spikes and the error of an encoded image, in words."""
    found = encoded.figures()
    said = ["no spikes"]
    if found["first_spike"] is not None:
        said = [f"{found['spikes_per_pixel']:.2f} spikes per {_unit(encoded)}"]
        said.append(f"mean first spike: step {found['first_spike']:.1f}")
    if found["exact"] is None:
        return [*said, "cannot be decoded"]
    if found["exact"]:
        return [*said, "decoded exactly"]
    return [*said, f"RMSE {found['rmse']:.4f}", f"PSNR {found['psnr_db']:.1f} dB"]


def _unit(encoded: EncodedImage) -> str:
    """Return `pixel` for one channel, `value` for several."""
    return "pixel" if len(encoded.image) == 1 else "value"


def _evenly_spaced(number: int, limit: int) -> list[int]:
    """Return 0 .. number - 1, or `limit` evenly spaced ones including both ends."""
    kept = torch.linspace(0, number - 1, min(number, limit), dtype=torch.float64)
    return kept.round().long().tolist()


def _scales(codes: Sequence[EncodedImage]) -> tuple[float, float]:
    """Return the largest error and the largest number of spikes of a pixel in any code."""
    errors = [
        float(_pixels(error).max()) for encoded in codes if (error := encoded.error()) is not None
    ]
    return max(errors, default=0), max(float(_pixels(encoded.spikes()).max()) for encoded in codes)


def _draw_image(axes: Axes, encoded: EncodedImage) -> None:
    show_image(axes, "image", encoded.image)


def _draw_step(axes: Axes, encoded: EncodedImage, t: int) -> None:
    step = encoded.steps[t]
    if t < encoded.coding.analog_steps:
        show_image(axes, f"t = {t + 1}, analog", step)
    else:  # some codes have several spikes per step
        show_values(axes, f"t = {t + 1}", _pixels(step), top=max(1, float(step.max())))


def _draw_maps(
    figure: Figure,
    left: float,
    top: float,
    encoded: EncodedImage,
    max_error: float,
    max_spikes: float,
) -> float:
    """Draw the decoded image, its error and the spike counts; return their right edge."""
    decoded = _panel(figure, left, top)
    errors = _panel(figure, left + COLUMN, top)
    counts = _panel(figure, left + 2 * COLUMN + SCALE, top)
    error = encoded.error()
    if encoded.decoded is None or error is None:
        for axes in (decoded, errors):
            axes.set_axis_off()
        decoded.text(0, 0.5, "cannot be decoded", va="center", color=QUIET)
    else:
        show_image(decoded, "decoded", encoded.decoded)
        show_values(errors, "error", _pixels(error), ERRORS, max_error)
        if max_error:
            draw_scale(errors)
        if not error.any():
            _write(errors, "none", 0.5, transform=errors.transAxes, color="white")
    show_values(
        counts, f"spikes per {_unit(encoded)}", _pixels(encoded.spikes()), COUNTS, max_spikes
    )
    if max_spikes:
        draw_scale(counts, integer=True)
    return left + MAPS


def draw_scale(axes: Axes, *, integer: bool = False) -> None:
    """Draw the colour scale of a map, on its right."""
    from matplotlib.ticker import MaxNLocator

    bar = axes.figure.colorbar(axes.images[0], cax=axes.inset_axes((1.04, 0, 0.06, 1)))
    bar.locator = MaxNLocator(4, integer=integer)
    bar.ax.tick_params(labelsize=7)


def _draw_raster(axes: Axes, encoded: EncodedImage) -> None:
    """Draw a row for each value, at most `MAX_RASTER_ROWS` evenly spaced ones."""
    from matplotlib.ticker import MaxNLocator

    values, analog = encoded.steps.flatten(1).T.cpu(), encoded.coding.analog_steps
    max_rows = min(MAX_RASTER_ROWS, max(MAX_MARKS // len(encoded.steps), 1))
    kept = torch.tensor(_evenly_spaced(len(values), max_rows))
    rows, steps = values[kept, analog:].nonzero(as_tuple=True)
    axes.set_title("spikes by step", fontsize=9)
    axes.scatter(steps + analog + 1, rows, marker="|", s=9, color=COLOURS[0], rasterized=True)
    axes.set_xlim(0.5, len(encoded.steps) + 0.5)
    axes.set_ylim(len(kept) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_yticks([])
    axes.tick_params(labelsize=7)
    of = "" if len(kept) == len(values) else f"{len(kept)} of "
    axes.set_ylabel(f"{of}{len(values):,} {_unit(encoded)}s", fontsize=7)
    if analog:
        axes.axvspan(0.5, analog + 0.5, color="#dddddd")
        transform = axes.get_xaxis_transform()
        _write(axes, "analog", (analog + 1) / 2, transform=transform, rotation=90, fontsize=8)


def _write(axes: Axes, text: str, x: float, **style: Any) -> None:
    axes.text(x, 0.5, text, ha="center", va="center", **style)


def _panel(figure: Figure, left: float, top: float, width: float = PANEL) -> Axes:
    """Return axes at a distance in inches from the upper left corner of the figure."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + PANEL) / down, width / across, PANEL / down))


def show_values(axes: Axes, title: str, values: Any, colours: str = "gray", top: float = 1) -> None:
    """Show an array `[H, W]` from 0 to `top`, or colours `[H, W, 3]`."""
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(QUIET)
    axes.imshow(values, cmap=colours, vmin=0, vmax=top or 1, interpolation="nearest")


def show_image(axes: Axes, title: str, image: Tensor) -> None:
    """Show an image `[C, H, W]`, in colours if it has three channels."""
    show_values(axes, title, _coloured(image))


def _coloured(image: Tensor) -> Any:
    """Return values as colours `[H, W, 3]`, or in grey `[H, W]` if there are not three channels."""
    if len(image) != 3:
        return _pixels(image).clip(0, 1)
    return downsampled(image).detach().float().cpu().clamp(0, 1).permute(1, 2, 0).numpy()


def _pixels(image: Tensor) -> Any:
    """Return the mean over channels, `[H, W]`."""
    return downsampled(image).detach().float().cpu().mean(0).numpy()


def downsampled(image: Tensor) -> Tensor:
    """Return every n-th row and column of an image `[C, H, W]`, at most MAX_PIXELS a side."""
    stride = -(-max(image.shape[1:]) // MAX_PIXELS)
    return image[:, ::stride, ::stride]
