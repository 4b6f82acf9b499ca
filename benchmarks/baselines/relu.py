"""The same sequential network with ReLU in place of every neuron: the cost of a plain network.

Time is folded into the batch and images are channels-last. ReLU has no state, so with a static code
the first block (convolution, norm, ReLU, pool) has the same output at every step: `Relu` computes
it once and repeats it T times, `ReluEveryStep` does not. From the second block on both run over
T·B images, like the spiking network. For other networks see `ann.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..case import Case
from .base import Network, affine, batch_norm, pool


class Relu(Network):
    """The ReLU network of a case; one stem for every code.

    Args:
        case: the network to build.
        matched: not used.
    """

    first_block_once = True

    def __init__(self, case: Case, *, matched: bool = False) -> None:
        super().__init__()
        self.case, self.coding = case, case.encoder
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Flatten() if layer.kind == "linear" else nn.Identity(),
                affine(layer),
                batch_norm(layer),
                nn.ReLU(),
                pool(layer),
            )
            for layer in case.layers
        )
        self.readout = nn.Linear(case.layers[-1].outputs, case.classes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> Tensor:
        steps, first, *others = self.coding.steps, *self.blocks
        if self.coding.static and self.first_block_once:
            x = _repeat(first(_channels_last(images)), steps)
        elif self.coding.static:
            x = first(_repeat(_channels_last(images), steps))
        else:
            x = first(_channels_last(self.case.encoded(images).flatten(0, 1)))
        for block in others:
            x = block(x)
        # The readout is affine, so the mean over steps can be taken before it.
        return self.readout(x.unflatten(0, (steps, -1)).mean(0))


class ReluEveryStep(Relu):
    """The ReLU network whose first block also runs over T·B images."""

    first_block_once = False


def relu(case: Case, *, matched: bool = False) -> Network:
    """Return the ReLU network of any case."""
    from .ann import AnnCounterpart

    return Relu(case) if case.spec.layers else AnnCounterpart(case)


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def _repeat(x: Tensor, steps: int) -> Tensor:
    """Return `[B, ...]` as `[T·B, ...]`; images stay channels-last, which `repeat` would undo."""
    if x.dim() != 4:
        return x.repeat(steps, 1)
    x = x.permute(0, 2, 3, 1)
    return x.expand(steps, *x.shape).flatten(0, 1).permute(0, 3, 1, 2)
