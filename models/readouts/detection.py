"""Outputs of each cell of one or several grids: classes and a box."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..layer import VALUES, Lowering, OperationList, Signal
from ..stepwise import Step, stepper
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
        cells = self.linear(_rows(spikes)).transpose(-1, -2)
        if self.scale is not None:
            cells = cells * self.scale[: len(cells)].view(-1, 1, 1, 1)
        if self.further is None or self.then is None:
            return cells
        return torch.cat([cells, self.then(self.further(spikes))], -1)

    def mean(self, spikes: Tensor) -> Tensor:
        """Return the mean of the outputs over the steps, `[B, K, A]`; see `Readout.mean`."""
        cells = super().mean(_rows(spikes)).transpose(-1, -2)
        if self.further is None or self.then is None:
            return cells
        return torch.cat([cells, self.then.mean(self.further(spikes))], -1)

    def stepper(self) -> Step:
        of_cells = Readout.stepper(self)
        if self.further is None or self.then is None:
            return lambda x: of_cells(_rows(x)).transpose(-1, -2)
        further, then = stepper(self.further), self.then.stepper()

        def step(x: Tensor) -> Tensor:
            return torch.cat([of_cells(_rows(x)).transpose(-1, -2), then(further(x))], -1)

        return step

    def lower(self, graph: Lowering, name: str) -> None:
        graph.add("Cells", name, tuple(self._lower_grids(graph, name)))
        graph.answers_with("mean")

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        found.visit(name, self.linear, x)
        if self.further is not None and self.then is not None:
            x = found.visit(f"{name}.further", self.further, x)
            self.then.list_operations(found, f"{name}.then", x)
        return VALUES

    def _lower_grids(self, graph: Lowering, name: str) -> list[str]:
        """Add the images of the outputs of each grid, and return their nodes."""
        begin, steps = graph.at, graph.steps
        graph.add(
            "Conv",
            f"{name}_outputs",
            weights=(self.linear.weight[:, :, None, None],),
            biases=(self.linear.bias,),
            of_step=(0,) * steps,
        )
        if self.scale is not None:
            factor = self.scale[:steps].view(-1, 1)
            offset = torch.zeros_like(factor)
            graph.add("ChannelScale", f"{name}_scaled", factor=factor, offset=offset)
        ends = [graph.at]
        if self.further is not None and self.then is not None:
            graph.branch(f"{name}.further.", self.further, begin)
            ends += self.then._lower_grids(graph, f"{name}.then")
        return ends


def _rows(x: Tensor) -> Tensor:
    """Return images `[..., C, H, W]` as the features of their cells, `[..., A, C]`."""
    return x.flatten(-2).transpose(-1, -2)
