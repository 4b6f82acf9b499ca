"""A figure of a page, and its sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HALF = (4.7, 2.9)  # inches: two of them stand side by side
THIRD = (2.95, 2.4)
FULL = 9.6


@dataclass(frozen=True)
class Drawing:
    """A figure with its text alternative."""

    figure: Figure
    alt: str
