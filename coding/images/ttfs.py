"""The code `ttfs`: one spike a value in a window, at the step of its level, the brightest first."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ..base import Coding, Moments, at_least_float32, check_images


class Ttfs(Coding):
    """One spike at step t = L - q for a value of the level q = clip(⌊x L + 1/2⌋, 0, L).

    Level 0 does not fire. A spike opens a constant current until the end of the window (`opens`):
    the stem of a network reads 1 from its step to the last one, the mean of which is q / L, the
    value rounded to the nearest level. For the neurons `ttfs`, and for `direct` with `levels`,
    which is what their ANN counterpart is given.

    Args:
        steps: number of time steps T.
        window: L, the first steps, to which all spikes belong; by default all, as networks need it.

    Raises:
        ConfigError: `window` out of range.
    """

    name = "ttfs"
    opens = True
    pointwise = True

    def __init__(self, *, steps: int, window: int | None = None) -> None:
        super().__init__(steps=steps)
        if window is not None and not 1 <= window <= steps:
            raise ConfigError(f"window must be from 1 to the {steps} steps, not {window}")
        self.window = steps if window is None else window

    def encode(self, x: Tensor) -> Tensor:
        check_images(x)
        t = torch.arange(self.window, device=x.device).view(-1, *[1] * x.dim())
        code = x.new_zeros(self.steps, *x.shape)
        code[: self.window] = t == self.window - level_of(x, self.window)
        return code

    def decode(self, code: Tensor, moments: Moments | None = None) -> Tensor:
        """Return the rounded value q / L, 0 without a spike."""
        levels = torch.arange(self.window, 0, -1, device=code.device)
        sent = code[: self.window] * levels.view(-1, *[1] * (code.dim() - 1))
        return (sent.sum(0, dtype=torch.float64) / self.window).to(code.dtype)

    def of_counterpart(self) -> dict[str, int]:
        return {"levels": self.window}


def level_of(x: Tensor, levels: int) -> Tensor:
    """Return clip(⌊x L + 1/2⌋, 0, L) of pixels, in at least float32."""
    return (at_least_float32(x) * levels + 0.5).floor_().clamp_(0, levels)
