"""Pictures: a training's curves, learned schedules, and what a code makes of an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..core.files import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MOST_RASTER_ROWS = 200
MOST_STEPS = 16


def draw_curves(path: Path, history: list[dict[str, Any]]) -> None:
    """Write `curves.png`: loss, accuracy and spike rate over epochs.

    Raises:
        AsnnError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    epochs = [metrics["epoch"] for metrics in history]
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    for axes, title in zip(figure.subplots(1, 3), ("loss", "accuracy", "spike rate"), strict=True):
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        if title == "spike rate":
            rates = [metrics["spike_rate"] for metrics in history]
            axes.plot(epochs, rates, color=COLOURS[1], marker=".")
            axes.set_ylim(bottom=0)
            continue
        for part, colour in zip(("train", "validation"), COLOURS, strict=False):
            values = [metrics[f"{part}_{title}"] for metrics in history]
            axes.plot(epochs, values, color=colour, marker=".", label=part)
        axes.legend(frameon=False)
    _save(path, figure)


def draw_schedules(path: Path, schedules: dict[str, dict[str, list[float]]]) -> None:
    """Draw what `measure.schedules` returns: one panel for each kind, one line for each layer.

    Raises:
        AsnnError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    kinds = sorted(
        {kind for values in schedules.values() for kind, v in values.items() if len(v) > 1}
    )
    figure = Figure(figsize=(1 + 3.6 * max(len(kinds), 1), 3.2), layout="constrained")
    panels = figure.subplots(1, max(len(kinds), 1), squeeze=False)[0]
    for axes, kind in zip(panels, kinds, strict=False):
        for colour, (layer, values) in zip(
            COLOURS * len(schedules), schedules.items(), strict=False
        ):
            if kind in values:
                steps = range(1, len(values[kind]) + 1)
                axes.plot(steps, values[kind], marker="o", color=colour, label=layer)
        axes.set_title(kind.replace("_", " "))
        axes.set_xlabel("step")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    if not kinds:
        panels[0].set_axis_off()
        panels[0].text(0.5, 0.5, "nothing is scheduled", ha="center")
    _save(path, figure)


def draw_code(path: Path, image: Tensor, code: Tensor, analog_steps: int, decoded: Tensor | None):
    """Draw one image, its steps side by side, what can be decoded, and a raster of its spikes.

    Args:
        path: the PNG file.
        image: `[C, H, W]` in [0, 1].
        code: `[T, C, H, W]`.
        analog_steps: how many steps, from the first, are not spikes.
        decoded: `[C, H, W]`, or None where the code has no decoder.

    Raises:
        AsnnError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    # More panels than this are too small to see, and slow to lay out; the raster shows all steps.
    shown = code[:MOST_STEPS]
    panels = [("image", image), *((f"t = {t + 1}", step) for t, step in enumerate(shown))]
    if decoded is not None:
        panels.append(("decoded", decoded.clamp(0, 1)))
    figure = Figure(figsize=(1.6 * max(len(panels), 4), 4.6), layout="constrained")
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.4))[:, 0]
    for axes, (title, values) in zip(
        upper.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        axes.imshow(_shown(values), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()
    _draw_raster(lower.subplots(), code, analog_steps)
    _save(path, figure)


def _draw_raster(axes, code: Tensor, analog_steps: int) -> None:
    """Draw a row for each pixel, or for evenly spread ones where there are too many."""
    pixels = code.flatten(1).T.cpu()
    stride = -(-len(pixels) // MOST_RASTER_ROWS)
    rows, steps = pixels[::stride, analog_steps:].nonzero(as_tuple=True)
    axes.scatter(steps + analog_steps + 1, rows * stride, marker="|", s=12, color=COLOURS[0])
    axes.set_xlim(0.5, len(code) + 0.5)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("step")
    axes.set_ylabel("pixel" if stride == 1 else f"every {stride}th pixel")
    if analog_steps:
        axes.axvspan(0.5, analog_steps + 0.5, color="#dddddd")
        axes.text(
            (analog_steps + 1) / 2, 0.5, "analog", ha="center", transform=axes.get_xaxis_transform()
        )


def _shown(image: Tensor):
    """Return `[H, W]` or `[H, W, 3]` for a drawing; other channel counts are averaged."""
    image = image.detach().float().cpu().clamp(0, 1)
    if image.shape[0] == 3:
        return image.permute(1, 2, 0).numpy()
    return image.mean(0).numpy()


def _save(path: Path, figure: Figure) -> None:
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
