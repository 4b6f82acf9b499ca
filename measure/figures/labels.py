"""Labels of points that cover neither each other, nor points, nor lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point = tuple[float, float]

FONT_SIZE = 8
# Where a label may be beside its point: the offset in typographic points, and its alignment.
_OVER = ((0, 7), "center", "bottom")
PLACES = (
    ((6, -3), "left", "top"),
    ((-6, 4), "right", "bottom"),
    ((6, 4), "left", "bottom"),
    ((-6, -3), "right", "top"),
    _OVER,
    ((0, -7), "center", "top"),
    ((8, 0), "left", "center"),
    ((-8, 0), "right", "center"),
)


ABOVE = (_OVER, *(place for place in PLACES if place is not _OVER))


def place_labels(
    axes: Axes, labels: Sequence[tuple[str, Point]], places: Sequence[Any] = PLACES
) -> list[str]:
    """Write a label beside each data point, in the first place where it covers nothing.

    Everything else must be drawn before. A label for which there is no free place is left out; the
    last one is placed first, as that of all steps matters most.

    Args:
        axes: the panel.
        labels: texts and points.
        places: the places of a label, the best first: `PLACES`, or `ABOVE`.

    Returns:
        The labels that were written, in order.
    """
    figure: Any = axes.figure
    figure.draw_without_rendering()  # lays it out, so that positions in pixels are known
    placed: dict[int, Any] = {}
    for i in reversed(range(len(labels))):
        text, point = labels[i]
        for offset, ha, va in places:
            label = axes.annotate(
                text,
                point,
                offset,
                textcoords="offset points",
                ha=ha,
                va=va,
                fontsize=FONT_SIZE,
            )
            box = label.get_window_extent()
            if _is_free(axes, box, list(placed.values())):
                placed[i] = box
                break
            label.remove()
    return [labels[i][0] for i in sorted(placed)]


def _is_free(axes: Axes, box: Any, others: list[Any]) -> bool:
    """Return whether a box in pixels lies in the panel, and covers no label, point or line."""
    panel = axes.get_window_extent()
    if not (panel.x0 <= box.x0 and box.x1 <= panel.x1 and panel.y0 <= box.y0 <= box.y1 <= panel.y1):
        return False
    if any(box.overlaps(other) for other in others):
        return False
    for drawn in axes.lines:
        path: Any = drawn.get_path().transformed(drawn.get_transform())
        marked = [p for p in path.vertices if box.x0 - 3 < p[0] < box.x1 + 3]
        if any(box.y0 - 3 < p[1] < box.y1 + 3 for p in marked):
            return False
        if drawn.get_linestyle() != "None" and path.intersects_bbox(box, filled=False):
            return False
    legend = axes.get_legend()
    return legend is None or not box.overlaps(legend.get_window_extent())
