"""Flow that moves with its recordings."""

from __future__ import annotations

import torch
from torch import Tensor

from .positions import Move


def carry_flow(targets: Tensor, move: Move, *, height: int, width: int) -> Tensor:
    """Return the flow `[B, 2, H, W]` (or `[B, 2, 1, 1]`) after a move; NaN where none moves to.

    The vectors turn with the recording, and each is at the pixel that its own has moved to.

    Args:
        targets: pixels to the right and down.
        move: by multiples of 90°, mirror images and shifts by whole pixels.
        height, width: of the sensor.
    """
    turned = torch.einsum("bij,bjhw->bihw", move.matrix, targets)
    if targets.shape[2:] == (1, 1):
        return turned
    rows, columns = torch.meshgrid(
        torch.arange(height, device=targets.device) + 0.5,
        torch.arange(width, device=targets.device) + 0.5,
        indexing="ij",
    )
    middle = torch.stack([columns, rows]).flatten(1) - move.offset.unsqueeze(2)
    x, y = (move.matrix.transpose(1, 2) @ middle).floor().long().unbind(1)  # [B, H·W] each
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    index = torch.where(inside, y * width + x, 0).unsqueeze(1).expand(-1, 2, -1)
    moved = turned.flatten(2).gather(2, index).masked_fill(~inside.unsqueeze(1), torch.nan)
    return moved.view_as(targets)
