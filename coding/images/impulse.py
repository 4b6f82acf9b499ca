"""The impulse code: the analog image at the first step, nothing at the others."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..base import Coding, Moments, check_images


class Impulse(Coding):
    """code_1 = x and code_t = 0 for t > 1; with `spread`, code_t = x / T for every t.

    The steps add up to the image (`sums`): a network's stem multiplies them by T, so that their
    mean over the steps is what the ANN counterpart is given.

    Args:
        steps: number of time steps T.
        spread: give every step the same share.

    Source: Wu et al., "Progressive Tandem Learning for Pattern Recognition With Deep Spiking Neural
    Networks", arXiv 2007.01204 (TPAMI 2021).
    """

    name = "impulse"
    sums = True
    pointwise = True

    def __init__(self, *, steps: int, spread: bool = False) -> None:
        super().__init__(steps=steps)
        self.static = spread
        self.analog_steps = steps if spread else 1

    def encode(self, x: Tensor) -> Tensor:
        check_images(x)
        if self.static:
            return (x / self.steps).expand(self.steps, *x.shape)
        code = x.new_zeros(self.steps, *x.shape)
        code[0] = x
        return code

    def each_step(self, x: Tensor) -> Iterator[Tensor]:
        if self.static:
            yield from self.encode(x)
            return
        check_images(x)
        yield x
        silent = torch.zeros_like(x)
        for _ in range(self.steps - 1):
            yield silent

    def decode(self, code: Tensor, moments: Moments | None = None) -> Tensor:
        return self.steps * code[0] if self.static else code[0]
