"""A p4 convolution beside that of escnn: equal results with equal weights, and the time.

    pip install escnn
    python -m studies.peers.p4

prints, as Markdown, the processor time of a forward and backward pass of one layer on one thread,
of asnn, of escnn and of a plain convolution with as many weights, half of the channels (see
docs/systems.md), for several sizes; and by how much outputs and gradients of the input differ.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from asnn.models.layers.p4 import P4Conv2d

from .timing import interleaved

SIZES = ((8, 16, 3, 14), (16, 32, 5, 14), (32, 32, 3, 7))
"""Channels of one rotation in and out, side of the kernel, side of the images."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=128, help="of a batch times steps")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    head = "channels | kernel | image | asnn, ms | escnn, ms | plain, ms | outputs differ"
    print(f"| {head} | gradients differ |\n|---|" + "---:|" * 7)
    for inputs, outputs, kernel, side in SIZES:
        theirs = EscnnConv(inputs, outputs, kernel)
        own = P4Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        with torch.no_grad():
            own.weight.copy_(theirs.weight())
        plain = nn.Conv2d(2 * inputs, 2 * outputs, kernel, padding=kernel // 2, bias=False)
        random = torch.Generator().manual_seed(0)
        spikes = torch.rand(options.images, 4 * inputs, side, side, generator=random) < 0.2
        x = spikes.float()
        found = interleaved(
            {
                "asnn": _pass(own, x),
                "escnn": _pass(theirs, x),
                "plain": _pass(plain, x[:, : 2 * inputs]),
            },
            options.rounds,
        )
        (y, grad), (z, of_theirs) = found["asnn"][1], found["escnn"][1]
        times = " | ".join(f"{ms:.1f}" for ms, _ in found.values())
        print(
            f"| {inputs} to {outputs} | {kernel} | {side} | {times} | "
            f"{_apart(y, z):.0e} | {_apart(grad, of_theirs):.0e} |",
            flush=True,
        )


class EscnnConv(nn.Module):
    """The convolution of escnn, with channels in the order of asnn: the rotation is slower.

    Its weights are coefficients of a basis of steerable kernels; with all frequencies that a kernel
    of that side has, they are as many as those of asnn.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        from escnn import gspaces  # type: ignore[import-not-found]
        from escnn import nn as escnn  # type: ignore[import-not-found]

        space = gspaces.rot2dOnR2(4)
        regular = space.regular_repr
        self.types = tuple(escnn.FieldType(space, c * [regular]) for c in (inputs, outputs))
        self.conv = escnn.R2Conv(*self.types, kernel, padding=kernel // 2, bias=False)
        self.make: Callable[[Tensor, Any], Any] = escnn.GeometricTensor
        self.inputs, self.outputs = inputs, outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return the output `[N, 4 O, H, W]`; both orders of the channels are those of asnn."""
        fields = x.unflatten(1, (4, self.inputs)).transpose(1, 2).flatten(1, 2)
        y = self.conv(self.make(fields, self.types[0])).tensor
        return y.unflatten(1, (self.outputs, 4)).transpose(1, 2).flatten(1, 2)

    @torch.no_grad()
    def weight(self) -> Tensor:
        """Return its kernels of the rotation 0, `[O, C, 4, k, k]`: the weights of asnn."""
        kernels, _ = self.conv.expand_parameters()
        return kernels.unflatten(0, (self.outputs, 4)).unflatten(2, (self.inputs, 4))[:, 0]


def _pass(layer: nn.Module, x: Tensor) -> Callable[[], tuple[Tensor, Tensor]]:
    def run() -> tuple[Tensor, Tensor]:
        given = x.clone().requires_grad_()
        layer.zero_grad()
        y = layer(given)
        y.square().sum().backward()
        assert given.grad is not None
        return y.detach(), given.grad

    return run


def _apart(one: Tensor, two: Tensor) -> float:
    """Return the greatest difference, relative to the greatest value."""
    return float((one - two).abs().max() / one.abs().max())


if __name__ == "__main__":
    main()
