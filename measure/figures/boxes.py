"""Boxes over a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .style import COLOURS, INK, as_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOUND, WRONG, TRUE = COLOURS[0], COLOURS[1], COLOURS[2]
WHITE = "#ffffff"


def draw_true_boxes(axes: Axes, boxes: Sequence[Sequence[float]]) -> None:
    """Draw true boxes (x1, y1, x2, y2), dashed, over a picture by `imshow`."""
    for box in boxes:
        _rectangle(axes, box, WHITE, width=2.2, dashes="-")
        _rectangle(axes, box, TRUE, width=1.2, dashes=(0, (3, 2)))


def draw_boxes(
    axes: Axes,
    boxes: Sequence[Sequence[float]],
    labels: Sequence[str],
    right: Sequence[bool] | None = None,
) -> None:
    """Draw boxes that a network has found, each with its label, over a picture by `imshow`.

    Args:
        axes: with the picture.
        boxes: (x1, y1, x2, y2) in pixels.
        labels: a text for each.
        right: which are right; the others have another colour. None if that is not known.
    """
    for number, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        colour = FOUND if right is None or right[number] else WRONG
        _rectangle(axes, box, WHITE, width=2.6, dashes="-")
        _rectangle(axes, box, colour, width=1.6, dashes="-")
        axes.annotate(
            as_label(label),
            (box[0] - 0.5, box[1] - 0.5),
            xytext=(0, 1),
            textcoords="offset points",
            fontsize=6.5,
            color=INK,
            annotation_clip=False,
            bbox={"facecolor": WHITE, "edgecolor": colour, "linewidth": 0.8, "pad": 0.8},
        )


def _rectangle(
    axes: Axes, box: Sequence[float], colour: str, *, width: float, dashes: object
) -> None:
    from matplotlib.patches import Rectangle

    # A pixel of `imshow` reaches from its number - 0.5 to its number + 0.5.
    x1, y1, x2, y2 = (float(value) - 0.5 for value in box[:4])
    edge = {"edgecolor": colour, "linewidth": width, "linestyle": dashes}
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, **edge))
