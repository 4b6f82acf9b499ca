"""The code `bins`: one spike a value, in one of T bins of intensity."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ...core.errors import ConfigError
from .slots import Temporal

Background = Literal["silent", "last"]


class Bins(Temporal):
    """One spike for each value, at the step of its bin, the brightest first:

        x in (1 - (t + 1)/T, 1 - t/T]   fires at step t = 0 .. T-1

    With `background = "silent"` an exact 0 does not fire: the code is that of `temporal` with
    linear thresholds. With `last`, as published, it fires with the darkest bin, so that every value
    has exactly one spike: of MNIST four fifths of all input then come at the last step.

    Args:
        steps: number of time steps T, which are the bins.
        background: `silent` or `last`.

    Raises:
        ConfigError: an unknown background.

    Source: github.com/NeuromorphicComputing/RankCoding, after arXiv 2110.02865.
    """

    name = "bins"

    def __init__(self, *, steps: int, background: Background = "silent") -> None:
        super().__init__(steps=steps)
        if background not in ("silent", "last"):
            raise ConfigError(f"unknown background {background!r}", why="choose from silent, last")
        self.background = background

    def _steps_of(self, slot: Tensor) -> Tensor:
        if self.background == "last":
            slot = torch.where(slot == 0, self.steps, slot)
        return super()._steps_of(slot)
