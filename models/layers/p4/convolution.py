"""Convolutions of the group p4, whose kernels are rotations of one another."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..convolution import SpikeConv2d
from .sharing import ROTATIONS


class P4Conv2d(SpikeConv2d):
    """A convolution that commutes with rotations by 90°, `[N, S C, H, W] -> [N, 4 O, H', W']`.

    The first one, of an image (S = 1), lifts it to the four rotations r; the others map the
    rotations s of their input (S = 4) to r:

        lift     y[o, r] = x ⋆ rot90^r(w[o])
        later    y[o, r] = Σ_{c, s} x[c, s] ⋆ rot90^r(w[o, c, (s - r) mod 4])

    so that for an image turned by 90° it returns y turned by 90° with r moved on by 1. The channels
    are ordered with the rotation as the slower axis, r O + o. That holds where the windows map the
    image onto itself, see `asnn.models.networks.groups`, and bit for bit where the sums are exact:
    the products of a rotated kernel are added in another order.

    Args:
        inputs: C, channels of one rotation.
        outputs: O.
        kernel: side of the kernel; of an even side too, since the windows are turned with the
            image.
        lifts: whether the input is an image.
        stride, padding: of the windows.
        bias: one for each o.

    Attributes:
        weight: `[O, C, S, k, k]`.
        bias: `[O]`, or None.

    Source: Cohen and Welling, "Group equivariant convolutional networks", arXiv 1602.07576.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        lifts: bool = False,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        of_input = 1 if lifts else ROTATIONS
        super().__init__(
            of_input * inputs,
            ROTATIONS * outputs,
            kernel,
            stride=stride,
            padding=padding,
            bias=bias,
            device="meta",  # its weights are computed from those below
        )
        self.weight = nn.Parameter(torch.empty(outputs, inputs, of_input, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None
        self.reset_parameters()

    def effective(self) -> tuple[Tensor, Tensor | None]:
        """Return weight `[4 O, S C, k, k]` and bias `[4 O]` of the same plain convolution."""
        rotations = [torch.rot90(self.weight.roll(r, 2), r, (3, 4)) for r in range(ROTATIONS)]
        weight = torch.stack(rotations).transpose(2, 3).flatten(2, 3).flatten(0, 1)
        return weight, None if self.bias is None else self.bias.repeat(ROTATIONS)

    def synaptic_weights(self) -> list[Tensor]:
        """Return the weight of the plain convolution, by which operations are counted."""
        return [self.effective()[0].detach()]

    def expanded(self) -> SpikeConv2d:
        """Return the same plain convolution, with weights of its own."""
        plain = SpikeConv2d(
            self.in_channels,
            self.out_channels,
            self.kernel_size,  # type: ignore[arg-type]
            stride=self.stride,  # type: ignore[arg-type]
            padding=self.padding,  # type: ignore[arg-type]
            bias=self.bias is not None,
            device="meta",
        )
        weight, bias = self.effective()
        plain.weight = nn.Parameter(weight.detach().clone())
        plain.bias = None if bias is None else nn.Parameter(bias.detach().clone())
        plain.kernels = self.kernels
        return plain.train(self.training)
