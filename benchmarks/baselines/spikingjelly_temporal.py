"""spiking-yolo with SpikingJelly's neurons: `nn.Conv3d` and `nn.BatchNorm3d` over steps and space.

SpikingJelly has no network of its own of that kind; its layers of volumes convolve each step alone.
"""

# Only the extra `bench` installs it.
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from ..case import Case

WIDTHS = (16, 32, 64, 64)
HALVINGS = 3  # of the image, by the first convolutions


def spiking_yolo(case: Case, make_neuron: Callable[[], nn.Module]) -> nn.Module:
    """Return the network of the default options: `[T, B, C, H, W]` to `[T, B, K]`, the mean over
    its cells.

    Args:
        case: the network to build.
        make_neuron: returns a layer of neurons.
    """
    parts: list[nn.Module] = []
    inputs = case.in_shape[0]
    for i, outputs in enumerate(WIDTHS):
        parts += [OverSteps(inputs, outputs, stride=2 if i < HALVINGS else 1), make_neuron()]
        inputs = outputs
    return nn.Sequential(*parts, Cells(inputs, case.classes))


class OverSteps(nn.Module):
    """Convolution with a kernel (3, 3, 3) and batch norm, `[T, B, C, H, W]`."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        stride_of_axes = (1, stride, stride)
        self.conv = nn.Conv3d(inputs, outputs, 3, stride=stride_of_axes, padding=1, bias=False)
        self.norm = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x.permute(1, 2, 0, 3, 4))).permute(2, 0, 1, 3, 4)


class Cells(nn.Module):
    """The outputs of each cell, `[T, B, C, H, W] -> [T, B, K]`, their mean over the cells."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2]).flatten(3).mean(3)
