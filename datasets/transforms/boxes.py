"""Boxes that move with their samples."""

from __future__ import annotations

import torch
from torch import Tensor

from ..boxes import present
from .positions import Move

KEPT = 0.25
"""A box that keeps less of its area is left out: little of its object can be seen."""


def carry_boxes(targets: Tensor, move: Move, *, height: int, width: int) -> Tensor:
    """Return the boxes `[B, M, 5]` after a move, clipped to the sample.

    A box that keeps less than a quarter of its area is left out.

    Args:
        targets: see `asnn.datasets.boxes`.
        move: by multiples of 90°, mirror images and shifts, so that boxes stay upright.
        height, width: of the sample.
    """
    if not targets.numel():
        return targets
    corners = targets[..., :4].unflatten(-1, (2, 2))  # [B, M, corner, xy]
    matrix = move.matrix.unsqueeze(1).transpose(-1, -2)
    moved = corners @ matrix + move.offset[:, None, None]
    low, high = moved.amin(2), moved.amax(2)
    edges = torch.tensor([width, height], device=targets.device)
    seen_low, seen_high = low.clamp(min=0), torch.minimum(high, edges)
    seen = (seen_high - seen_low).clamp(min=0).prod(-1)
    stays = present(targets) & (seen > 0) & (seen >= KEPT * (high - low).prod(-1))
    found = torch.cat([seen_low, seen_high, targets[..., 4:]], -1)
    found = found.masked_fill(~stays.unsqueeze(-1), torch.nan)
    first = (~stays).int().argsort(dim=1, stable=True)  # rows without a box are the last
    return found.gather(1, first.unsqueeze(-1).expand_as(found))
