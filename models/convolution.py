"""Convolution of spikes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..kernels.choice import Kernels, backend, missing_backend, recording
from ..kernels.contract import Convolution
from ..kernels.convolution import (
    OUT_MULTIPLE,
    cheapest,
    event_convolution,
    taps_of,
)


class SpikeConv2d(nn.Conv2d):
    """A convolution whose input is mostly zeros: on a CPU it computes where spikes are.

    The function, the parameters and their names are those of `nn.Conv2d`. Where the input turns
    out to be dense, and on other devices, it is `nn.Conv2d`.

    Attributes:
        kernels: `reference` is always `nn.Conv2d`; see `asnn.models.use_kernels`.
    """

    kernels: Kernels = "auto"
    _taps: tuple[Tensor, int, Tensor] | None = None

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
        wide = kernels.has_wide_registers()
        paths = cheapest(shape, x, wide=wide, learns=torch.is_grad_enabled())
        if not any(paths):
            return self._dense(before, x)
        return event_convolution(
            x,
            self.weight,
            self.bias,
            before=before,
            backend=kernels,
            shape=shape,
            paths=paths,
            taps=self._frozen_taps(),
        )

    def _dense(self, before: Tensor | None, x: Tensor) -> Tensor:
        out = super().forward(x)
        return out if before is None else torch.cat([before, out])

    def _frozen_taps(self) -> Tensor | None:
        """Return the weights as kernels read them, kept while nothing can learn."""
        if self.weight.requires_grad:
            return None
        kept = self._taps
        if kept is None or kept[0] is not self.weight or kept[1] != self.weight._version:
            kept = self._taps = (self.weight, self.weight._version, taps_of(self.weight))
        return kept[2]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_taps": None}

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


def _pair(value: tuple[int, ...] | str) -> tuple[int, int]:
    height, width = value
    return int(height), int(width)
