"""A layer of spiking neurons, and the choice of its kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError
from ...core.registry import unknown
from ...kernels.dispatch import NEEDS, Kernels, missing_backend, notice, recording
from .convolution import PointConv2d, SpikeConv2d
from .fusing import Frozen, Fusible, freeze, fusible, run
from .residual import Residual
from .time import over_time


class SpikingLayer(nn.Module):
    """Batch norm, neuron over all steps, optional pooling: `[T, B, C, ...] -> [T, B, C, ...]`.

    The fused kernels compute it in one pass where they can, and the parts themselves elsewhere.

    Args:
        norm: of time-major tensors; None leaves the input as it is.
        neuron: `[T, B, C, ...] -> [T, B, C, ...]`.
        pool: layer of `[B, C, H, W]`.

    Attributes:
        kernels: which kernels to use; `use_kernels` sets it for a whole network.
        used: which were used last; None before the first call.
        spike_observers: called after each forward pass with the number of spikes at each step
            `[T]` (float64) and the number of neurons times samples.
    """

    def __init__(
        self, norm: nn.Module | None, neuron: nn.Module, pool: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.norm = norm
        self.neuron = neuron
        self.pool = pool
        self.kernels: Kernels = "auto"
        self.used: Literal["reference", "fused"] | None = None
        self.spike_observers: list[Callable[[Tensor, int], None]] = []
        self._freezes = False
        self._frozen: tuple[Any, Frozen | None] = (None, None)

    def forward(self, x: Tensor) -> Tensor:
        if self._freezes and not torch.is_grad_enabled() and not recording():
            frozen = self._frozen_for(x)
            if frozen is not None:
                spikes, counts = frozen.run(x, count=bool(self.spike_observers))
                return self._told(spikes, counts, x)
        how = self._fusible(x)
        if isinstance(how, Fusible):
            self.used = "fused"
            spikes, counts = run(x, how, count=bool(self.spike_observers))
            return self._told(spikes, counts, x)
        self.used = "reference"
        spikes = self.neuron(x if self.norm is None else self.norm(x))
        if self.spike_observers:
            # Rates are wanted to more digits than float32 can count spikes.
            self._told(spikes, spikes.detach().flatten(1).sum(1, dtype=torch.float64), x)
        return spikes if self.pool is None else over_time(self.pool, spikes)

    def freeze(self) -> None:
        """Keep what evaluation without gradients needs, from the next call on; for good."""
        self._freezes = True

    def _frozen_for(self, x: Tensor) -> Frozen | None:
        key = (x.shape, x.stride(0) == 0, x.dtype, x.device, self.kernels)
        kept, frozen = self._frozen  # once, for another thread may put its own there
        if kept != key:
            how = self._fusible(x)
            self.used = "fused" if isinstance(how, Fusible) else "reference"
            frozen = freeze(x, how) if isinstance(how, Fusible) else None
            self._frozen = (key, frozen)
        return frozen

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_frozen": (None, None)}

    def _fusible(self, x: Tensor) -> Fusible | str:
        if self.kernels == "reference":
            return "the reference is asked for"
        values = x[0].numel() // max(x.shape[2], 1) if x.dim() > 2 and len(x) else 0
        if values == 0 or (values == 1 and self.training and self.norm is not None):
            return "nothing, or a single value, has no statistics"  # the norm has its own words
        how = fusible(x, self.norm, self.neuron, self.pool)
        if isinstance(how, str):
            if self.kernels == "fused":
                raise ConfigError(
                    "the fused kernels cannot compute this layer",
                    why=how,
                    remedy="use kernels 'auto', which takes the reference there",
                )
            if missing_backend(x.device.type, torch.float32) == how and x.device.type in NEEDS:
                notice(how)
        return how

    def _told(self, spikes: Tensor, counts: Tensor | None, x: Tensor) -> Tensor:
        """Tell the spike_observers, and return the spikes."""
        if counts is not None:
            places = x[0].numel() if len(x) else 0
            for observer in self.spike_observers:
                observer(counts, places)
        return spikes


def use_kernels(model: nn.Module, kernels: str) -> None:
    """Choose the kernels of all spiking layers of a network, and of the convolutions of spikes.

    - `auto`: fused where they can compute the layer, the reference elsewhere;
    - `fused`: fused, and an error where they cannot (an empty batch, and the single value that a
      norm refuses, are left to the reference);
    - `reference`: plain torch, on every device, in every dtype.

    Raises:
        ConfigError: the choice is none of these.
    """
    if kernels not in ("auto", "reference", "fused"):
        raise unknown("kernels", kernels, ["auto", "reference", "fused"])
    for module in model.modules():
        if isinstance(module, SpikingLayer | SpikeConv2d | PointConv2d | Residual):
            module.kernels = kernels  # type: ignore[assignment]


def used_kernels(model: nn.Module) -> str | None:
    """Return which kernels computed last: `fused`, `reference`, `mixed`; None before any call."""
    used = {module.used for module in model.modules() if isinstance(module, SpikingLayer)}
    return used.pop() if len(used) == 1 else "mixed" if used else None
