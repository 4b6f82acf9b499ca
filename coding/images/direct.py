"""The direct code: the analog image at every step."""

from __future__ import annotations

from torch import Tensor

from ..base import Coding, Moments, check_images


class Direct(Coding):
    """Repeat the analog image: code[t] = x for every t.

    The steps are views of one image, not copies.
    """

    name = "direct"
    static = True
    pointwise = True

    def __init__(self, *, steps: int) -> None:
        super().__init__(steps=steps)
        self.analog_steps = steps

    def encode(self, x: Tensor) -> Tensor:
        check_images(x)
        return x.expand(self.steps, *x.shape)

    def decode(self, code: Tensor, moments: Moments | None = None) -> Tensor:
        return code[0]
