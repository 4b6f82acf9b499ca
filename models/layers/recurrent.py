"""Recurrence: neurons that also receive their own spikes of the step before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from ..layer import SPIKES, Layer, OperationCounter, OperationList, Signal
from ..neurons.functional.leaky import first_spike, leaky_step
from ..neurons.leaky import AdaptiveLeaky

START_GAIN = 0.5
"""The initial weights are orthogonal, times this: spikes of all neurons do not add up at once."""


class Recurrent(Layer):
    """Leaky neurons with recurrent weights: `[T, B, F] -> [T, B, F]`, from rest.

        s_t, v_t = step(x_t + U s_{t-1}, v_{t-1}),   s_{-1} = 0

    It takes the place of a neuron in a `SpikingLayer`. There is no fused kernel for it.

    Args:
        neuron: leaky neurons, whose step is `leaky_step`.
        features: F.

    Attributes:
        without_ann: why a network with this layer has no ANN counterpart.
    """

    without_ann = "recurrent weights receive spikes, and ReLU has none"

    def __init__(self, neuron: AdaptiveLeaky, features: int) -> None:
        super().__init__()
        self.neuron = neuron
        self.weight = nn.Parameter(torch.empty(features, features))
        nn.init.orthogonal_(self.weight, START_GAIN)

    @property
    def once(self) -> bool:
        """Whether a neuron sends at most one spike a sample."""
        return self.neuron.once

    def neuron_fields(self) -> dict[str, Any]:
        """Return the fields of the neuron, and its recurrent weights."""
        return {**self.neuron.neuron_fields(), "recurrent": self.weight}

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        found.add(f"{name}.recurrent", "recurrent", self, SPIKES)
        return SPIKES

    def count_operations(self, counter: OperationCounter, x: Tensor, y: Tensor) -> None:
        """Count the recurrent weights: their input at a step are the spikes of the step before."""
        counter.add_products(self.weight, y[:-1], first=1)

    def synaptic_weights(self) -> list[Tensor]:
        """Return U."""
        return [self.weight]

    def silence(self, alive: Callable[[torch.Size], Tensor]) -> None:
        """Set the weights from dead neurons to 0: those where `alive(shape)` is 0."""
        self.weight.mul_(alive(self.weight.shape[1:]).to(self.weight))

    def decaying_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that weight decay is for."""
        return [self.weight]

    def forward(self, x: Tensor) -> Tensor:
        self.neuron.check(x)
        dtype = x.dtype if x.dtype == torch.float64 else torch.float32
        # All steps at once: to index a parameter at each of a thousand steps would take as long
        # as the step itself.
        p = self.neuron.step_parameters().shaped_for(x.dim() - 1, dtype)
        leaks, gains = p.leak.unbind(0), p.gain.unbind(0)
        sizes = None if p.reset_size is None else p.reset_size.unbind(0)
        weight = self.weight.to(dtype)
        spikes: list[Tensor] = []
        uniforms = self.neuron.uniforms(x)
        v = fired = None
        for t, x_t in enumerate(x.to(dtype).unbind(0)):
            if spikes:
                x_t = x_t + linear(spikes[-1], weight)
            size = None if sizes is None else sizes[t]
            of_step = p._replace(leak=leaks[t], gain=gains[t], reset_size=size)
            uniform = None if uniforms is None else uniforms[t]
            s, v = leaky_step(x_t, v, of_step, self.neuron.options, uniform)
            if self.once:
                s, fired = first_spike(s, fired)
            spikes.append(s)
        return (torch.stack(spikes) if spikes else torch.empty_like(x)).to(x.dtype)

    def stepper(self) -> Callable[[Tensor], Tensor]:
        state, sent = self.neuron.init_leaky(), None

        def step(x: Tensor) -> Tensor:
            nonlocal state, sent
            if sent is not None:
                x = x + linear(sent, self.weight)
            sent, state = self.neuron(x, state)
            return sent

        return step

    def extra_repr(self) -> str:
        return f"features={self.weight.shape[0]}"
