"""The direct code: the analog image at every step."""

from __future__ import annotations

from torch import Tensor

from ...core.errors import ConfigError
from ..base import Coding, Moments, check_images
from .ttfs import level_of

MAX_LEVELS = 65_535


class Direct(Coding):
    """Repeat the analog image: code[t] = x for every t.

    The steps are views of one image, not copies. With `levels` the image is rounded to the nearest
    of L + 1 values, clip(⌊x L + 1/2⌋, 0, L) / L, the mean of what the code `ttfs` of L steps sends;
    a stem does not normalise it, since it does not normalise spikes.

    Args:
        steps: number of time steps T.
        levels: L, from 1 to 65,535; None does not round.

    Raises:
        ConfigError: `levels` out of range.
    """

    name = "direct"
    static = True
    pointwise = True

    def __init__(self, *, steps: int, levels: int | None = None) -> None:
        super().__init__(steps=steps)
        if levels is not None and not 1 <= levels <= MAX_LEVELS:
            raise ConfigError(f"levels must be from 1 to {MAX_LEVELS:,}, not {levels}")
        self.analog_steps = steps
        self.levels = levels
        self.normalised = levels is None

    def encode(self, x: Tensor) -> Tensor:
        check_images(x)
        if self.levels is not None:
            x = (level_of(x, self.levels) / self.levels).to(x.dtype)
        return x.expand(self.steps, *x.shape)

    def decode(self, code: Tensor, moments: Moments | None = None) -> Tensor:
        return code[0]

    def of_counterpart(self) -> dict[str, int]:
        return {} if self.levels is None else {"levels": self.levels}
