"""Neurons whose membranes do not start from rest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ....core.errors import ConfigError
from ...layer import VALUES, Layer, Lowering, OperationCounter, OperationList, Signal
from ...neurons.leaky import AdaptiveLeaky
from ..norm import TimeNorm
from ..spiking import SpikingLayer


class StartedSpikes(Layer):
    """Spikes of neurons whose membranes start from their last input: `[T, B, C, ...]`.

        x = norm(input),   v_0 = x_T,   v_t = leak_t v_{t-1} + gain_t x_t, with spikes and resets

    It is computed as neurons from rest with leak_1 / gain_1 x_T added to their first input, which
    is the same as long as the gain of the first step is not 0. All steps are needed for the first.

    Args:
        norm: of `[T, B, C, ...]`; None for no norm.
        neuron: leaky neurons with a gain.

    Raises:
        ConfigError: other neurons.

    Source: our reading of a line that the published code of arXiv 2412.17654 has in a comment.
    """

    def __init__(self, norm: TimeNorm | None, neuron: nn.Module) -> None:
        super().__init__()
        if not isinstance(neuron, AdaptiveLeaky):
            raise ConfigError(
                f"membranes of {type(neuron).__name__} do not start from the last input",
                why="that is for leaky neurons: adaptive and fixed",
                remedy="set model.start=zero, or another model.neuron",
            )
        self.norm = norm
        self.spikes = SpikingLayer(None, neuron)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.norm is None else self.norm(x)
        neuron: Any = self.spikes.neuron
        p = neuron.step_parameters().shaped_for(x.dim() - 1, x.dtype)
        first = x[:1] + p.leak[:1] / p.gain[:1] * x[-1:]
        return self.spikes(torch.cat([first, x[1:]]))

    def lower(self, graph: Lowering, name: str) -> None:
        raise ConfigError(
            f"layer {name!r} cannot be exported",
            why="its membranes start from the last input, before the first one is read",
            remedy="train with model.start=zero",
        )

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        found.add(f"{name}.start", "start", self, VALUES)
        return found.visit(f"{name}.spikes", self.spikes, VALUES)

    def count_operations(self, counter: OperationCounter, x: Tensor, y: Tensor) -> None:
        """Count the product of each neuron's start, at the first step."""
        number, values = x.shape[1], float(x[0, 0].numel())
        once = x.new_full((1, number), values)
        counter.add(once, once, dense=number * values, inputs=number * values)
