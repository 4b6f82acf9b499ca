"""The three kernels of a convolution over time, applied to each step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..convolution import SpikeConv2d

TAPS = 3


class TapConv2d(SpikeConv2d):
    """What one step gives to three: `[N, C, H, W] -> [N, 3 O, H', W']`.

        z[k, o] = Σ_c w[o, c, k] ⋆ x[c],   k = 0, 1, 2

    Channels are ordered with the tap k as the slower axis, k O + o. `TemporalConv` adds them up.

    Args:
        inputs: C.
        outputs: O.
        kernel: side of the kernel in space.
        stride, padding: in space.
        causal: whether an output reads its own step and the two before it, not its neighbours.

    Attributes:
        offsets: for each tap the step that an output reads, from its own.
        weight: `[O, C, 3, k, k]`, as of `nn.Conv3d`.
    """

    _effective: Tensor | None = None

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        causal: bool = False,
    ) -> None:
        super().__init__(
            inputs,
            TAPS * outputs,
            kernel,
            stride=stride,
            padding=padding,
            bias=False,  # the bias of a sum of taps would differ between steps
            device="meta",  # its weights are computed from those below
        )
        self.weight = nn.Parameter(torch.empty(outputs, inputs, TAPS, kernel, kernel))
        self.reset_parameters()
        self.offsets = (-2, -1, 0) if causal else (-1, 0, 1)

    def effective(self) -> tuple[Tensor, Tensor | None]:
        """Return the weight `[3 O, C, k, k]` of the same plain convolution."""
        found = self._effective
        return (self._by_tap() if found is None else found), None

    def freeze(self) -> None:
        """Compute the weight of the plain convolution once: it must not change afterwards."""
        self._effective = self._by_tap().detach()

    def synaptic_weights(self) -> list[Tensor]:
        """Return the kernels of each tap, `[O, C, k, k]`, as views."""
        return list(self.weight.detach().unbind(2))

    def read_at(self, t: int, steps: int) -> tuple[int, ...]:
        """Return the taps by which outputs within the `steps` read the input of step t."""
        return tuple(k for k, offset in enumerate(self.offsets) if 0 <= t - offset < steps)

    def of_taps(self, *taps: int) -> SpikeConv2d:
        """Return the plain convolution of some taps, with weights of its own."""
        outputs = len(self.weight)
        plain = SpikeConv2d(
            self.in_channels,
            len(taps) * outputs,
            self.kernel_size,  # type: ignore[arg-type]
            stride=self.stride,  # type: ignore[arg-type]
            padding=self.padding,  # type: ignore[arg-type]
            bias=False,
            device="meta",
        )
        weight = torch.cat([self.weight[:, :, k] for k in taps]).detach()
        plain.weight = nn.Parameter(weight, requires_grad=False)
        return plain.train(self.training)

    def _by_tap(self) -> Tensor:
        return self.weight.movedim(2, 0).flatten(0, 1)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_effective": None}
