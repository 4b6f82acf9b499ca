"""Convolution of spikes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...kernels.contract import Convolution
from ...kernels.convolution import (
    DENSE,
    OUT_MULTIPLE,
    every,
    paths_for,
    prepared,
    spike_convolution,
)
from ...kernels.costs import Machine, Way
from ...kernels.dispatch import Kernels, backend, missing_backend, recording


class SpikeConv2d(nn.Conv2d):
    """A convolution of spikes: on a CPU it computes where they are, or by tiles of short values.

    The function, the parameters and their names are those of `nn.Conv2d`. Where the input turns
    out to be dense, and on other devices, it is `nn.Conv2d`.

    Attributes:
        kernels: `reference` is always `nn.Conv2d`; see `asnn.models.use_kernels`.
    """

    kernels: Kernels = "auto"
    _kept: tuple[Tensor, tuple[int, int, Way], Tensor] | None = None

    def forward(self, input: Tensor) -> Tensor:
        return self.behind(None, input)

    def behind(self, before: Tensor | None, x: Tensor) -> Tensor:
        """Return the convolution of `x`, behind images that are there already: `[N, ...]`."""
        if not self._follows_spikes(x):
            return self._dense(before, x)
        images, channels, height, width = x.shape
        shape = Convolution(
            images,
            (height, width),
            (channels, self.out_channels),
            _pair(self.kernel_size),
            _pair(self.stride),
            _pair(self.padding),
        )
        kernels = backend(x.device.type)
        machine = Machine(kernels.has_wide_registers(), kernels.has_tiles())
        paths = paths_for(shape, x, machine=machine, learns=torch.is_grad_enabled())
        if paths == DENSE:
            return self._dense(before, x)
        return spike_convolution(
            x,
            self.weight,
            self.bias,
            before=before,
            backend=kernels,
            shape=shape,
            paths=paths,
            ready=self._ready(paths.forward, kernels),
        )

    def _dense(self, before: Tensor | None, x: Tensor) -> Tensor:
        out = super().forward(x)
        return out if before is None else torch.cat([before, out])

    def _ready(self, way: Way, kernels: Any) -> Tensor | None:
        """Return the weights as kernels read them, kept while nothing can learn."""
        weight = self.weight
        if weight.requires_grad or weight.is_inference():  # it may change without a trace
            self._kept = None
            return None
        if way == "dense":
            return None
        state: tuple[int, int, Way] = (weight._version, weight.data_ptr(), way)
        kept = self._kept
        if kept is None or kept[0] is not weight or kept[1] != state:
            ready = prepared(weight, way, kernels, _pair(self.stride))
            kept = self._kept = (weight, state, ready)
        return kept[2]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}

    def _follows_spikes(self, x: Tensor) -> bool:
        return (
            self.kernels != "reference"
            and not recording()
            and x.dim() == 4
            and x.numel() > 0
            and x.shape[1] == self.in_channels
            and x.device.type == "cpu"
            and missing_backend("cpu", x.dtype) is None
            and self.weight.dtype == torch.float32
            and (self.bias is None or self.bias.dtype == torch.float32)
            and not torch.is_autocast_enabled("cpu")
            and self.out_channels % OUT_MULTIPLE == 0
            and self.groups == 1
            and set(self.dilation) == {1}
            and self.padding_mode == "zeros"
            and not isinstance(self.padding, str)
            and all(
                size + 2 * padding >= kernel
                for size, padding, kernel in zip(
                    x.shape[2:], _pair(self.padding), self.kernel_size, strict=True
                )
            )
        )


class PointConv2d(nn.Conv2d):
    """A convolution of single places, which leaves out those that its stride skips beforehand.

    The function, the parameters and their names are those of `nn.Conv2d` with a 1×1 kernel, whose
    gradient torch computes slowly where the stride is not 1.

    Attributes:
        kernels: `reference` is always `nn.Conv2d`; see `asnn.models.use_kernels`.
    """

    kernels: Kernels = "auto"

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, bias: bool = False) -> None:
        super().__init__(inputs, outputs, 1, stride=stride, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        if self.kernels == "reference" or recording() or input.dim() != 4:
            return super().forward(input)
        x = every(input, _pair(self.stride)) if max(self.stride) > 1 else input
        return nn.functional.conv2d(x, self.weight, self.bias)


# Layers that are W x + b and nothing else.
AFFINE = (nn.Linear, nn.Conv2d, SpikeConv2d, PointConv2d)


def _pair(value: tuple[int, ...] | str) -> tuple[int, int]:
    height, width = value
    return int(height), int(width)
