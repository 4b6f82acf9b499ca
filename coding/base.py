"""What every code can do."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.errors import ConfigError

Moments = tuple[Tensor, Tensor]
MOST_STEPS = 10_000


def wide(x: Tensor) -> Tensor:
    """Return `x` in at least float32: sums and logarithms lose too much in half precision."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


class Coding:
    """A code turns a batch of images into T steps: `[B, ...] -> [T, B, ...]`.

    Args:
        steps: number of time steps T.

    Raises:
        ConfigError: `steps` is less than `min_steps`, or more than 10,000.

    Attributes:
        name: what a user calls the code.
        analog_steps: how many steps, from the first, carry analog values and not spikes.
        static: whether all steps are equal, so that work on one serves for all.
        min_steps: the fewest steps that the code can work with.
    """

    name: str = ""
    analog_steps: int = 0
    static: bool = False
    min_steps: int = 1

    def __init__(self, *, steps: int) -> None:
        if type(steps) is not int or steps > MOST_STEPS:
            raise ConfigError(
                f"steps must be a whole number up to {MOST_STEPS}, not {steps!r}",
            )
        if steps < self.min_steps:
            raise ConfigError(
                f"the code {self.name!r} needs {self.min_steps} steps or more, not {steps}"
            )
        self.steps = steps

    def encode(self, x: Tensor) -> Tensor:
        """Return the code of images `[B, ...]` in [0, 1] as `[T, B, ...]`, in the dtype of `x`."""
        raise NotImplementedError

    def decode(self, code: Tensor, moments: Moments | None = None) -> Tensor:
        """Return the images `[B, ...]` that the code `[T, B, ...]` still tells.

        Args:
            code: what `encode` returned.
            moments: mean and deviation of each image, from `moments`, for the codes that keep
                standardised values only. Without them such a code gives standardised values.

        Raises:
            ConfigError: the code has no decoder.
        """
        raise ConfigError(f"the code {self.name!r} cannot be decoded")

    def moments(self, x: Tensor) -> Moments | None:
        """Return what `decode` needs beside the code to give back pixels, or None."""
        return None

    def count_spikes(self, code: Tensor) -> Tensor:
        """Return how many spikes each sample of the code `[T, B, ...]` spends, as `[B]` float64.

        Analog steps carry values and not spikes, so they count nothing.
        """
        spikes = code[self.analog_steps :]
        return spikes.transpose(0, 1).flatten(1).sum(1, dtype=torch.float64)
