"""The picture of a training: loss, accuracy and spike rate by epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.files import whole_file

TRAIN, VALIDATION = "#0072B2", "#D55E00"  # told apart by the colour-blind too


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
            axes.plot(epochs, rates, color=VALIDATION, marker=".")
            axes.set_ylim(bottom=0)
            continue
        for part, colour in (("train", TRAIN), ("validation", VALIDATION)):
            values = [metrics[f"{part}_{title}"] for metrics in history]
            axes.plot(epochs, values, color=colour, marker=".", label=part)
        axes.legend(frameon=False)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
