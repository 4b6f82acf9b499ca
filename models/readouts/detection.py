"""Outputs of each cell of one or several grids: classes and a box."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .mean import Readout


class Grid(NamedTuple):
    """Cells that look for objects, in the order of their outputs: row by row.

    Attributes:
        stride: px of the image from one cell to the next.
        height, width: number of cells.
    """

    stride: int
    height: int
    width: int


class DetectionReadout(Readout):
    """y_t = scale_t (W s_t + b) in each cell: `[T, B, C, H, W]` to `[T, B, K, A]`, A = H·W cells.

    W is the same for all cells, a 1×1 convolution, and the answer after step t is the mean of y
    over the steps 1..t. What the K outputs of a cell mean, the task says.

    A readout of several scales has `further`: layers that make the image smaller, and the readout
    of what they send. Its cells follow those of this one.

    Args:
        channels: C.
        outputs: K.
        grid: the cells, one for each pixel of the input.
        steps: number of time steps T.
        scaled: give each step a learnable scale, starting at 1; each grid has its own.
        further: layers `[T, B, C, H, W] -> [T, B, C', H', W']`.
        then: the readout of their output; given with `further`.

    Source: the head of arXiv 2412.17654, which adds up the scaled features of the steps; this is
    their mean.
    """

    answers_with_mean = True
    only_for = "detection"

    def __init__(
        self,
        channels: int,
        outputs: int,
        *,
        grid: Grid,
        steps: int,
        scaled: bool,
        further: nn.Sequential | None = None,
        then: DetectionReadout | None = None,
    ) -> None:
        super().__init__(channels, outputs, steps=steps, scaled=scaled)
        self.grid = grid
        self.further = further
        self.then = then

    @property
    def grids(self) -> tuple[Grid, ...]:
        """The grids in the order of their cells in the outputs."""
        return (self.grid,) if self.then is None else (self.grid, *self.then.grids)

    def forward(self, spikes: Tensor) -> Tensor:
        cells = _by_cell(super().forward(_as_batch(spikes)), spikes)
        if self.further is None or self.then is None:
            return cells
        return torch.cat([cells, self.then(self.further(spikes))], -1)

    def mean(self, spikes: Tensor) -> Tensor:
        """Return the mean of the outputs over the steps, `[B, K, A]`; see `Readout.mean`."""
        cells = _by_cell(super().mean(_as_batch(spikes)), spikes)
        if self.further is None or self.then is None:
            return cells
        return torch.cat([cells, self.then.mean(self.further(spikes))], -1)


def _as_batch(x: Tensor) -> Tensor:
    """Return `[T, B, C, H, W]` as `[T, B·A, C]`: each cell stands for a sample."""
    return x.permute(0, 1, 3, 4, 2).flatten(1, 3)


def _by_cell(rows: Tensor, x: Tensor) -> Tensor:
    """Return rows `[..., B·A, K]` of an input `[T, B, C, H, W]` as `[..., B, K, A]`."""
    return rows.unflatten(-2, (x.shape[1], -1)).transpose(-1, -2)
