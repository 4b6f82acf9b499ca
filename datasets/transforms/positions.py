"""Where augmentation moves the positions of samples, and targets that go along."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from ...coding.samples import SampleSpec
from .mixing import Targets


class Move(NamedTuple):
    """A point p = (x, y) of a sample, in pixels from the left and the top edge, moves to M p + o.

    Attributes:
        matrix: M, `[B, 2, 2]`.
        offset: o, `[B, 2]`.
    """

    matrix: Tensor
    offset: Tensor


Carry = Callable[[Tensor, Move], Tensor]
"""Returns the targets `[B, ...]` after a move."""


def stay(targets: Tensor, move: Move) -> Tensor:
    """Return targets without a position as they are."""
    return targets


def mirrored(chosen: Tensor, width: int) -> Move:
    """Return the horizontal mirror image where `chosen` `[B]` is true."""
    sign = 1 - 2 * chosen.float()
    zero, one = torch.zeros_like(sign), torch.ones_like(sign)
    return _move([[sign, zero], [zero, one]], [width * chosen.float(), zero])


def shifted(right: Tensor, down: Tensor) -> Move:
    """Return shifts by whole pixels, `[B]` each."""
    x, y = right.float(), down.float()
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _move([[one, zero], [zero, one]], [x, y])


def turned(quarters: Tensor, side: int) -> Move:
    """Return turns of squares of `side` pixels counter-clockwise by `quarters` `[B]` × 90°."""
    # A quarter: (x, y) to (y, side - x).
    cos = torch.tensor([1.0, 0, -1, 0], device=quarters.device)[quarters]
    sin = torch.tensor([0.0, 1, 0, -1], device=quarters.device)[quarters]
    right, down = side * (1 - cos - sin) / 2, side * (1 - cos + sin) / 2
    return _move([[cos, sin], [-sin, cos]], [right, down])


def _move(matrix: list[list[Tensor]], offset: list[Tensor]) -> Move:
    rows = [torch.stack(row, -1) for row in matrix]
    return Move(torch.stack(rows, -2), torch.stack(offset, -1))


@dataclass(frozen=True)
class Carrying:
    """An augmentation whose samples take their targets along.

    Args:
        augment: with the argument `carry` of `apply`.
        carry: moves the targets.
    """

    augment: Any
    carry: Carry

    def check(self, spec: SampleSpec) -> None:
        """Refuse samples that an option does not fit."""
        self.augment.check(spec)

    def apply(
        self,
        x: Any,
        y: Tensor,
        *,
        epoch: int,
        generator: Generator | None = None,
        samples: Iterable[Generator] = (),
    ) -> tuple[Any, Targets]:
        """Return the changed batch of samples and its targets, see `Augmentation`."""
        return self.augment.apply(
            x, y, epoch=epoch, generator=generator, samples=samples, carry=self.carry
        )
