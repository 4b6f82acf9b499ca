"""Figures of training curves and learned schedules, and files of figures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError
from ...core.files import write_bytes
from ...core.metric import ACCURACY, Metric
from ...core.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The palette of Okabe and Ito, which is safe for colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
FORMATS = ("png", "svg", "pdf")
DPI = 110


def draw_curves(path: Path, history: list[dict[str, Any]], metric: Metric = ACCURACY) -> None:
    """Write `curves.png`: loss, primary metric and spike rate over epochs.

    Raises:
        AsnnError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    epochs = [metrics["epoch"] for metrics in history]
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    keys = ("loss", metric.name, "spike_rate")
    for axes, key in zip(figure.subplots(1, 3), keys, strict=True):
        axes.set_title(key.replace("_", " "))
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        for epoch, stage in _stages(history):
            axes.axvline(epoch - 0.5, color="0.6", linewidth=0.8, linestyle=":")
            axes.annotate(stage, (epoch - 0.5, 1), xycoords=("data", "axes fraction"), fontsize=7)
        if key == "spike_rate":
            rates = [metrics["spike_rate"] for metrics in history]
            axes.plot(epochs, rates, color=COLOURS[1], marker=".")
            axes.set_ylim(bottom=0)
            continue
        for part, colour in zip(("train", "validation"), COLOURS, strict=False):
            values = [metrics[f"{part}_{key}"] for metrics in history]
            axes.plot(epochs, values, color=colour, marker=".", label=part)
        axes.legend(frameon=False)
    save_figure(path, figure)


def _stages(history: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Return the first epoch and the name of each stage, of a training in several."""
    names = [metrics.get("stage") for metrics in history]
    return [
        (metrics["epoch"], name)
        for metrics, name, before in zip(history, names, [None, *names], strict=False)
        if name is not None and name != before
    ]


def draw_schedules(path: Path, schedules: dict[str, dict[str, list[float]]]) -> None:
    """Draw the result of `measure.schedules`: a panel for each schedule, a line for each layer.

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
    save_figure(path, figure)


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure to a file, in the format of its suffix; `$` in texts begins no formula.

    Raises:
        ConfigError: see `figure_format`.
        AsnnError: the file cannot be written.
    """
    from matplotlib.text import Text

    format = figure_format(path)
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # type: ignore[attr-defined]
        text.set_text("\n".join(map(printable, text.get_text().split("\n"))))  # type: ignore[attr-defined]
    drawn = io.BytesIO()
    figure.savefig(drawn, format=format, dpi=DPI)
    write_bytes(path, drawn.getvalue())


def figure_format(path: Path) -> str:
    """Return png, svg or pdf by the suffix of a file; png without suffix.

    Raises:
        ConfigError: the suffix is another one, or the file is `-` (stdout).
    """
    format = path.suffix[1:].lower() or FORMATS[0]
    if format not in FORMATS or path == Path("-"):
        raise ConfigError(
            f"a picture cannot be written to {path}",
            why="its name must end in .png, .svg or .pdf",
        )
    return format
