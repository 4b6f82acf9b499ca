"""Boxes as targets: those of a sample in the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

COLUMNS = ("x1", "y1", "x2", "y2", "class")


def pack(boxes: Sequence[Tensor], classes: Sequence[Tensor]) -> Tensor:
    """Return the boxes of N samples as one table, `[N, M, 5]` float32.

    A row is (x1, y1, x2, y2, class), in pixels from the left and the top edge of the image: a box
    that covers the first pixel alone is (0, 0, 1, 1). M is the largest number of boxes of a sample,
    at least 1; the rows behind the boxes of a sample are NaN.

    Args:
        boxes: `[m, 4]` of each sample.
        classes: `[m]` of each sample.

    >>> pack([torch.tensor([[0, 0, 2, 3]])], [torch.tensor([7])])
    tensor([[[0., 0., 2., 3., 7.]]])
    """
    rows = max([1, *map(len, boxes)])
    found = torch.full((len(boxes), rows, 5), torch.nan)
    for sample, (of, labels) in enumerate(zip(boxes, classes, strict=True)):
        if len(of):
            found[sample, : len(of), :4] = of.float()
            found[sample, : len(of), 4] = labels.float()
    return found


def present(targets: Tensor) -> Tensor:
    """Return which rows of a table `[..., M, 5]` hold a box, `[..., M]`."""
    return ~targets[..., 4].isnan()


def of_sample(targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the boxes `[m, 4]` and the classes `[m]` int64 of one sample `[M, 5]`."""
    rows = targets[present(targets)]
    return rows[:, :4], rows[:, 4].long()


def is_boxes(targets: Tensor) -> bool:
    """Return whether targets have the type and the shape of boxes."""
    return targets.is_floating_point() and targets.dim() == 3 and targets.shape[2] == 5


def problem_of(targets: Tensor, classes: int) -> str | None:
    """Return what is wrong with boxes `[N, M, 5]` of so many classes, None if nothing is."""
    rows = targets[present(targets)]
    if not bool(rows.isfinite().all()):
        return "boxes with values that are not finite"
    if bool((rows[:, 2:4] <= rows[:, :2]).any()):
        return "boxes without width or height, where x2 must be above x1 and y2 above y1"
    labels = rows[:, 4]
    if bool(((labels < 0) | (labels >= classes) | (labels != labels.round())).any()):
        return (
            f"boxes with classes from {labels.min():g} to {labels.max():g}, and {classes} names of "
            "classes, which are counted from 0"
        )
    return None
