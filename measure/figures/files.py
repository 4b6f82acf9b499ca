"""Files of figures: PNG, SVG or PDF by suffix."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import ConfigError
from ...core.files import write_bytes
from ...core.text import printable
from .style import ZERO_WIDTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
DPI = 130


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
        lines = text.get_text().removeprefix(ZERO_WIDTH).split("\n")  # type: ignore[attr-defined]
        text.set_text("\n".join(map(printable, lines)))  # type: ignore[attr-defined]
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
