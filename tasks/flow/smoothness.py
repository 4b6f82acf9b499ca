"""How much flow differs between neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

CHARBONNIER = 1e-3
"""ε of √(d² + ε²): the penalty is smooth at 0 and grows as |d| beyond."""
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Rows and columns from a pixel to those it is compared with: right, down, both diagonals."""


def smoothness(flow: Tensor, lit: Tensor) -> Tensor:
    """Return the penalty of differences between neighbours, `[B]`.

        Σ over neighbours of the mean of √(Δu² + ε²) + √(Δv² + ε²)

    Neighbours are those to the right, below, on both diagonals and, of several steps, at the next
    step. A pair counts where both its pixels have events. Each component is penalised on its own:
    of their sum, opposite differences would cancel.

    Args:
        flow: `[T, B, 2, H, W]`.
        lit: whether a pixel of a recording has events, `[B, H, W]`.
    """
    lit = lit.expand(len(flow), *lit.shape)
    height, width = flow.shape[3:]
    total = flow.new_zeros(flow.shape[1])
    for down, right in NEIGHBOURS:
        rows, columns = max(height - down, 0), max(width - abs(right), 0)
        left = max(-right, 0)
        here = (..., slice(0, rows), slice(left, left + columns))
        there = (..., slice(down, down + rows), slice(left + right, left + right + columns))
        total = total + _mean(flow[there] - flow[here], lit[there] & lit[here])
    if len(flow) > 1:
        total = total + _mean(flow[1:] - flow[:-1], lit[1:])
    return total


def _mean(difference: Tensor, counted: Tensor) -> Tensor:
    """Return the mean penalty of differences `[T, B, 2, ...]` where they count, `[B]`."""
    penalty = (difference.square() + CHARBONNIER**2).sqrt().sum(2)
    total = torch.where(counted, penalty, 0).sum((0, 2, 3))
    return total / counted.sum((0, 2, 3)).clamp(min=1)
