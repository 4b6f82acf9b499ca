"""A contact sheet: a row of small pictures for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .files import save_figure
from .style import style

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

SIDE, LABEL, HEAD = 0.85, 1.5, 0.4  # inches
MAX_NAME = 18  # characters


def draw_contact_sheet(path: Path, title: str, rows: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Write `contact_sheet` to a PNG, SVG or PDF file.

    Raises:
        ConfigError: the file has another suffix.
        AsnnError: the file cannot be written.
    """
    with style():
        save_figure(path, contact_sheet(title, rows))


def contact_sheet(title: str, rows: Mapping[str, Sequence[np.ndarray]]) -> Figure:
    """Return a figure with a row for each class.

    Args:
        title: above the rows.
        rows: pictures by name of the class, uint8 `[H, W]` or `[H, W, 3]`.
    """
    from matplotlib.figure import Figure

    columns = max(map(len, rows.values()), default=1)
    width, height = LABEL + SIDE * columns, HEAD + SIDE * max(1, len(rows))
    figure = Figure(figsize=(width, height))
    figure.suptitle(title, x=0.1 / width, y=1 - 0.1 / height, ha="left", va="top")
    for row, (name, pictures) in enumerate(rows.items()):
        top = 1 - (HEAD + SIDE * row) / height
        shown = name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"
        figure.text(0.1 / width, top - SIDE / 2 / height, shown, va="center")
        for column, picture in enumerate(pictures):
            left = (LABEL + SIDE * column) / width
            box = (left, top - 0.95 * SIDE / height, 0.92 * SIDE / width, 0.9 * SIDE / height)
            axes = figure.add_axes(box)
            axes.set_axis_off()
            axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    return figure
