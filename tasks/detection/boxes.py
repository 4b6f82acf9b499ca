"""Overlap of boxes, and the suppression of those that show the same object."""

from __future__ import annotations

import torch
from torch import Tensor


def overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the intersection over union of each pair of boxes, 0 of pairs without area.

    Args:
        boxes: (x1, y1, x2, y2), `[..., N, 4]`.
        others: `[..., M, 4]`.

    Returns:
        `[..., N, M]`.

    >>> overlaps(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 0, 3, 2], [2, 2, 3, 3]]))
    tensor([[0.3333, 0.0000]])
    """
    x1, y1, x2, y2 = boxes.unsqueeze(-2).unbind(-1)
    u1, v1, u2, v2 = others.unsqueeze(-3).unbind(-1)
    width = torch.minimum(x2, u2).sub_(torch.maximum(x1, u1)).clamp_(min=0)
    height = torch.minimum(y2, v2).sub_(torch.maximum(y1, v1)).clamp_(min=0)
    shared = width.mul_(height)
    union = area(boxes).unsqueeze(-1) + area(others).unsqueeze(-2) - shared
    return shared / union.clamp_(min=torch.finfo(union.dtype).tiny)


def area(boxes: Tensor) -> Tensor:
    """Return the area of boxes `[..., 4]`, `[...]`."""
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def suppress(boxes: Tensor, labels: Tensor, limit: float) -> Tensor:
    """Return which boxes stay after non-maximum suppression within each class, `[B, N]`.

    A box is left out if it overlaps a better one of its class, that itself stays, by more than
    `limit`.

    Args:
        boxes: of B samples, the best first, `[B, N, 4]`.
        labels: their classes, `[B, N]`.
        limit: intersection over union.
    """
    beats = (overlaps(boxes, boxes) > limit) & (labels.unsqueeze(2) == labels.unsqueeze(1))
    beats = beats.triu(1).to(boxes.dtype)  # [better, worse]
    stays = torch.ones_like(labels, dtype=boxes.dtype)
    # After n rounds the first n boxes are right, and mostly all of them after a few.
    while True:
        found = ((stays.unsqueeze(1) @ beats).squeeze(1) == 0).to(boxes.dtype)
        if torch.equal(found, stays):
            return stays.bool()
        stays = found
