"""The code `ttfs`: one spike a value in a window, at the step of its level, the brightest first."""

from __future__ import annotations

import torch
from torch import Tensor

from ..base import Coding, Moments, at_least_float32, check_images


class Ttfs(Coding):
    """One spike at step t = L - q for a value of the level q = clip(⌊x L + 1/2⌋, 0, L), L = T.

    Level 0 does not fire. A spike opens a constant current until the end of the window (`opens`):
    the stem of a network reads 1 from its step to the last one, the mean of which is q / L, the
    value rounded to the nearest level. For the neurons `ttfs`, and for `direct` with `levels`,
    which is what their ANN counterpart is given.

    Args:
        steps: L, the length of the window.
    """

    name = "ttfs"
    opens = True
    pointwise = True

    def encode(self, x: Tensor) -> Tensor:
        check_images(x)
        t = torch.arange(self.steps, device=x.device).view(-1, *[1] * x.dim())
        return (t == self.steps - level_of(x, self.steps)).to(x.dtype)

    def decode(self, code: Tensor, moments: Moments | None = None) -> Tensor:
        """Return the rounded value q / L, 0 without a spike."""
        left = torch.arange(self.steps, 0, -1, device=code.device).view(-1, *[1] * (code.dim() - 1))
        return ((code * left).sum(0, dtype=torch.float64) / self.steps).to(code.dtype)

    def of_counterpart(self) -> dict[str, int]:
        return {"levels": self.steps}


def level_of(x: Tensor, levels: int) -> Tensor:
    """Return clip(⌊x L + 1/2⌋, 0, L) of pixels, in at least float32."""
    return (at_least_float32(x) * levels + 0.5).floor_().clamp_(0, levels)
