"""Which cell of a detector answers for which object, and boxes as values of a cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...datasets.boxes import present
from ...models.readouts.detection import Grid
from .boxes import area

SIDE = 4.0
"""The side of a box, in strides, that a grid is made for."""
MAX_LOG_SIDE = math.log(1000)
"""Largest logarithm of a side in strides; e to the power of more would overflow in training."""


@dataclass(frozen=True)
class Cells:
    """The cells of all grids of a detector, one grid after another, row by row.

    The values of a cell of the stride s with its centre at (x, y) are a box of the width w and the
    height h around (c, d):

        (c - x) / s,    (d - y) / s,    ln(w / s),    ln(h / s)

    A box belongs to the grid of which 4 strides are nearest in ratio to √(w h), the finer one of
    two, and there to the cell that holds its centre. Of several boxes in a cell the smallest is
    taken.

    Attributes:
        x, y, stride: of each cell in pixels, `[A]`.
        grids: (stride, height, width) of each grid.
    """

    x: Tensor
    y: Tensor
    stride: Tensor
    grids: tuple[tuple[int, int, int], ...]

    @staticmethod
    def of(grids: Sequence[Grid]) -> Cells:
        """Return the cells of grids."""
        sizes = tuple((grid.stride, grid.height, grid.width) for grid in grids)
        x, y, strides = [], [], []
        for stride, height, width in sizes:
            centres = [stride * (torch.arange(n) + 0.5) for n in (height, width)]
            row, column = torch.meshgrid(*centres, indexing="ij")
            y.append(row.flatten())
            x.append(column.flatten())
            strides.append(torch.full((height * width,), float(stride)))
        return Cells(torch.cat(x), torch.cat(y), torch.cat(strides), sizes)

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device) -> Cells:
        """Return the cells on a device."""
        if self.x.device == device:
            return self
        x, y, stride = (each.to(device) for each in (self.x, self.y, self.stride))
        return Cells(x, y, stride, self.grids)

    def assign(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return class and values that each cell should answer.

        Args:
            targets: `[B, M, 5]`, see `asnn.datasets.boxes`.

        Returns:
            Classes `[B, A]`, -1 without an object, and values `[B, 4, A]`, 0 without one.
        """
        count, device = len(targets), targets.device
        labels = torch.full((count, len(self)), -1, device=device)
        values = torch.zeros(count, 4, len(self), device=device)
        sample, row = present(targets).nonzero(as_tuple=True)
        if not len(sample):
            return labels, values
        boxes = targets[sample, row]
        # The smallest last, so that it has the highest number of those in a cell.
        order = area(boxes[:, :4]).argsort(descending=True, stable=True)
        sample, boxes = sample[order], boxes[order]
        cell = self._cell_of(boxes)
        numbers = torch.arange(len(order), device=device)
        taken = torch.full((count * len(self),), -1, device=device)
        taken.scatter_reduce_(0, sample * len(self) + cell, numbers, "amax")
        chosen = taken[taken >= 0]
        sample, cell, boxes = sample[chosen], cell[chosen], boxes[chosen]
        labels[sample, cell] = boxes[:, 4].long()
        values[sample, :, cell] = self._encoded(boxes, cell)
        return labels, values

    def decode(self, values: Tensor) -> Tensor:
        """Return the boxes `[B, A, 4]` of values `[B, 4, A]`."""
        cells = self.to(values.device)
        dx, dy, w, h = values.unbind(1)
        x, y = cells.x + dx * cells.stride, cells.y + dy * cells.stride
        w, h = (each.clamp(max=MAX_LOG_SIDE).exp() * cells.stride / 2 for each in (w, h))
        return torch.stack([x - w, y - h, x + w, y + h], -1)

    def _encoded(self, boxes: Tensor, cell: Tensor) -> Tensor:
        cells = self.to(boxes.device)
        stride = cells.stride[cell]
        x1, y1, x2, y2, _ = boxes.unbind(1)
        dx = ((x1 + x2) / 2 - cells.x[cell]) / stride
        dy = ((y1 + y2) / 2 - cells.y[cell]) / stride
        return torch.stack([dx, dy, ((x2 - x1) / stride).log(), ((y2 - y1) / stride).log()], 1)

    def _cell_of(self, boxes: Tensor) -> Tensor:
        """Return the number of the cell of each box `[N, 5]`."""
        sizes = torch.tensor(self.grids, device=boxes.device)
        stride, height, width = sizes.unbind(1)
        side = area(boxes[:, :4]).sqrt()
        grid = (side.unsqueeze(1) / (SIDE * stride)).log().abs().argmin(1)
        x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
        # A centre on the border of the image, or beyond that of the grid, is in its last cell.
        column = torch.minimum((x / stride[grid]).long().clamp(min=0), width[grid] - 1)
        row = torch.minimum((y / stride[grid]).long().clamp(min=0), height[grid] - 1)
        first = (height * width).cumsum(0) - height * width
        return first[grid] + row * width[grid] + column
