"""A spiking network: a code, a body, logits for each step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..coding.base import Coding
from ..core.errors import ConfigError
from .frozen import Snapshot, freeze
from .readouts import Readout


@dataclass(frozen=True)
class BuildContext:
    """What every architecture is built from.

    Attributes:
        in_shape: (C, H, W) of the images.
        classes: number of classes.
        coding: the code in front.
        make_neuron: builds a neuron layer for a number of channels.
        scaled: whether the readout has a learnable scale for each step.
        mean, std: of each channel of the images.
    """

    in_shape: tuple[int, int, int]
    classes: int
    coding: Coding
    make_neuron: Callable[[int], nn.Module]
    scaled: bool
    mean: list[float]
    std: list[float]

    @property
    def steps(self) -> int:
        """Number of time steps T."""
        return self.coding.steps


class SpikingNetwork(nn.Module):
    """Images `[B, C, H, W]` in [0, 1] to logits of each step `[T, B, classes]`.

    Args:
        coding: turns images into steps.
        body: everything from the stem to the readout, time-major throughout.

    Attributes:
        config: the arguments of `create_model` that build this network again.
    """

    config: dict[str, Any]

    def __init__(self, coding: Coding, body: nn.Module) -> None:
        super().__init__()
        self.coding = coding
        self.body = body
        self._frozen: tuple[Snapshot, SpikingNetwork] | None = None
        self._is_frozen = False

    def train(self, mode: bool = True) -> SpikingNetwork:
        """Set the mode, and forget the frozen copy."""
        self._frozen = None
        return super().train(mode)

    def forward(self, x: Tensor, steps: int | None = None) -> Tensor:
        """Return logits `[T, B, classes]`; with `steps`, of the first steps only.

        Raises:
            ConfigError: the network does not have that many steps.
        """
        return self.run(self._encode(x, steps))

    def run(self, code: Tensor) -> Tensor:
        """Return logits of images that are encoded already, `[T, B, C, H, W]`."""
        if torch.is_grad_enabled():
            self._frozen = None
        return self.body(code)

    def _encode(self, x: Tensor, steps: int | None) -> Tensor:
        if torch.is_grad_enabled():
            self._frozen = None
        if steps is not None and not 1 <= steps <= self.coding.steps:
            raise ConfigError(f"steps must be from 1 to {self.coding.steps}, not {steps}")
        return self.coding.encode(x)[:steps]

    def mean_logits(self, x: Tensor, steps: int | None = None) -> Tensor:
        """Return the mean of the logits over the steps, `[B, classes]`.

        It is `forward(x, steps).mean(0)` but for rounding, and cheaper: a readout is linear, so
        that time is averaged before it.

        Raises:
            ConfigError: the network does not have that many steps.
        """
        code = self._encode(x, steps)
        *layers, last = self.body if isinstance(self.body, nn.Sequential) else [self.body]
        if isinstance(last, Readout) and not (_is_hooked(self.body) or _is_hooked(last)):
            for layer in layers:
                code = layer(code)
            return last.mean(code)
        return self.run(code).mean(0)

    @torch.no_grad()
    def predict(self, x: Tensor, steps: int | None = None) -> Tensor:
        """Return the mean of the logits over the steps so far, `[B, classes]`.

        In evaluation mode it is computed by `frozen()`.
        """
        return (self if self.training else self.frozen()).mean_logits(x, steps)

    def frozen(self) -> SpikingNetwork:
        """Return this network for inference: norms folded into the weights, nothing learns.

        The copy is kept, and made anew when a weight has changed: after a pass that may have been
        for a gradient (torch does not count the steps of its fused optimisers), after `train()`
        and `eval()`, and where torch counts a change. It does not count those through `.data`.
        """
        if self._is_frozen:
            return self
        kept = self._frozen
        if kept is None or not kept[0].holds():
            copy = SpikingNetwork(self.coding, freeze(self.body)).eval()
            copy._is_frozen = True
            if hasattr(self, "config"):
                copy.config = self.config
            kept = self._frozen = (Snapshot(self), copy)
        return kept[1]

    def __getstate__(self) -> dict[str, Any]:
        # For copies and pickles: a snapshot is of this network and of no other.
        return {**self.__dict__, "_frozen": None}


def _is_hooked(module: nn.Module) -> bool:
    """Return whether somebody wants to see what a module is given and gives."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )
