"""Convolution of spikes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...kernels.contract import Convolution
from ...kernels.convolution import (
    DENSE,
    OUT_MULTIPLE,
    packed,
    paths_for,
    spike_convolution,
    subsampled,
)
from ...kernels.convolution import backward as gradients
from ...kernels.costs import Machine, Way
from ...kernels.dispatch import Kernels, backend, is_traced, missing_backend, needs_aten


class SpikeConv2d(nn.Conv2d):
    """A convolution of spikes: on a CPU it computes only where they are, or by tiles of bfloat16.

    The function, the parameters and their names are those of `nn.Conv2d`. With a dense input, and
    on other devices, it is `nn.Conv2d`.

    Attributes:
        kernels: `reference` is always `nn.Conv2d`; see `asnn.models.use_kernels`.
    """

    kernels: Kernels = "auto"
    _cached: tuple[Tensor, tuple[int, int, Way], Tensor] | None = None

    def forward(self, input: Tensor) -> Tensor:
        return self.appended(None, input)

    def appended(self, prefix: Tensor | None, x: Tensor) -> Tensor:
        """Return the convolution of `x`, appended to the images `prefix` as by `torch.cat`."""
        weight, bias = self.effective()
        if not self._follows_spikes(x):
            return self._dense(prefix, x, weight, bias)
        if is_traced(x):
            out, _ = torch.ops.asnn.spike_convolution(
                x,
                weight,
                bias,
                prefix,
                stride=_pair(self.stride),
                padding=_pair(self.padding),
                learns=torch.is_grad_enabled(),
            )
            return out
        shape, kernels = self._convolution(x), backend(x.device.type)
        machine = Machine(kernels.has_wide_registers(), kernels.has_tiles())
        paths = paths_for(shape, x, machine=machine, learns=torch.is_grad_enabled())
        if paths == DENSE:
            return self._dense(prefix, x, weight, bias)
        return spike_convolution(
            x,
            weight,
            bias,
            prefix=prefix,
            backend=kernels,
            shape=shape,
            paths=paths,
            packed_weight=self._packed(weight, paths.forward, kernels),
        )

    def effective(self) -> tuple[Tensor, Tensor | None]:
        """Return the weight and the bias that it convolves with; a subclass may compute them."""
        return self.weight, self.bias

    def weight_gradient_by_events(self, x: Tensor, grad: Tensor) -> Tensor | None:
        """Return the gradient of the weight from images and that of the output, computed where the
        images are not 0; None if a dense convolution is cheaper."""
        if is_traced(x) or not self._follows_spikes(x):
            return None
        shape, kernels = self._convolution(x), backend(x.device.type)
        machine = Machine(kernels.has_wide_registers(), tiles=False)
        paths = paths_for(shape, x, machine=machine, learns=True)
        if paths.weights == "dense":
            return None
        rows = x.permute(0, 2, 3, 1).contiguous()
        grad = grad.contiguous(memory_format=torch.channels_last)
        return gradients(
            grad, rows, self.weight, kernels, shape, paths, of_x=False, of_weight=True
        )[1]

    def _convolution(self, x: Tensor) -> Convolution:
        images, channels, height, width = x.shape
        return Convolution(
            images,
            (height, width),
            (channels, self.out_channels),
            _pair(self.kernel_size),
            _pair(self.stride),
            _pair(self.padding),
        )

    def _dense(
        self, prefix: Tensor | None, x: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        out = self._conv_forward(x, weight, bias)
        return out if prefix is None else torch.cat([prefix, out])

    def _packed(self, weight: Tensor, way: Way, kernels: Any) -> Tensor | None:
        """Return the weights in the layout of the kernels, cached while they do not learn."""
        if weight.requires_grad or weight.is_inference():  # their changes are not all counted
            self._cached = None
            return None
        if way == "dense":
            return None
        state: tuple[int, int, Way] = (weight._version, weight.data_ptr(), way)
        cached = self._cached
        if cached is None or cached[0] is not weight or cached[1] != state:
            layout = packed(weight, way, kernels, _pair(self.stride))
            cached = self._cached = (weight, state, layout)
        return cached[2]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cached": None}

    def _follows_spikes(self, x: Tensor) -> bool:
        return (
            self.kernels != "reference"
            and not needs_aten()
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
    """A 1×1 convolution, which removes the pixels that its stride skips first.

    The function, the parameters and their names are those of `nn.Conv2d` with a 1×1 kernel, whose
    gradient is slow in torch with a stride other than 1.

    Attributes:
        kernels: `reference` is always `nn.Conv2d`; see `asnn.models.use_kernels`.
    """

    kernels: Kernels = "auto"

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, bias: bool = False) -> None:
        super().__init__(inputs, outputs, 1, stride=stride, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        if self.kernels == "reference" or needs_aten() or input.dim() != 4:
            return super().forward(input)
        x = subsampled(input, _pair(self.stride)) if max(self.stride) > 1 else input
        return nn.functional.conv2d(x, self.weight, self.bias)


# Layers that compute W x + b and nothing else.
AFFINE = (nn.Linear, nn.Conv2d, SpikeConv2d, PointConv2d)


def _pair(value: tuple[int, ...] | str) -> tuple[int, int]:
    height, width = value
    return int(height), int(width)
