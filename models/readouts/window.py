"""A decoder that reads all spikes of a window at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import count, pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, relu

from ..layer import VALUES, Layer, Lowering, OperationCounter, OperationList, Signal

Reads = Literal["time", "rate"]


class WindowSum(Layer):
    """Spikes `[T, B, M]` to what they add up to, from the first step to each: `[T, B, H]`.

        h_t = b + Σ_{t'<=t} W_t' s_t'             time: each step has weights of its own
        h_t = b + Σ_{t'<=t} W s_t' / T            rate: the number of spikes alone matters

    At the last step this is a linear layer on the window `[T·M]`, or on the rates `[M]`; before it,
    that of a window whose later steps are silent.

    Args:
        neurons: M.
        features: H.
        steps: T of the whole window.
        reads: `time` or `rate`.
    """

    def __init__(self, neurons: int, features: int, *, steps: int, reads: Reads) -> None:
        super().__init__()
        self.steps = steps
        self.sets = steps if reads == "time" else 1
        inputs = self.sets * neurons
        bound = 1 / math.sqrt(inputs)  # as in nn.Linear
        self.weight = nn.Parameter(torch.empty(features, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(features).uniform_(-bound, bound))

    def weights(self) -> Tensor:
        """Return the weights of the spikes of each step, `[T, H, M]`, or `[1, H, M]` of all."""
        by_step = self.weight.unflatten(1, (self.sets, -1)).transpose(0, 1)
        return by_step if self.sets > 1 else by_step / self.steps

    def forward(self, spikes: Tensor) -> Tensor:
        if self.sets == 1:  # counts are exact: when they came changes no digit
            return linear(spikes.cumsum(0) / self.steps, self.weight, self.bias)
        weights = self.weights()[: len(spikes)].transpose(1, 2)
        return (spikes @ weights.to(spikes.dtype)).cumsum(0) + self.bias

    def at_end(self, spikes: Tensor) -> Tensor:
        """Return h of the last step, `[B, H]`; it costs one matrix product."""
        if self.sets == 1:
            return linear(spikes.sum(0) / self.steps, self.weight, self.bias)
        weight = self.weight[:, : len(spikes) * spikes.shape[2]]
        return linear(spikes.transpose(0, 1).flatten(1), weight, self.bias)

    def stepper(self) -> Callable[[Tensor], Tensor]:
        times, weights, h = count(), self.weights(), self.bias

        def step(spikes: Tensor) -> Tensor:
            nonlocal h
            h = h + spikes @ weights[min(next(times), self.sets - 1)].T
            return h

        return step

    def synaptic_weights(self) -> list[Tensor]:
        return [self.weight]

    def lower(self, graph: Lowering, name: str) -> None:
        # b is a part of the first term, so that the sum starts from 0.
        weights, sets = self.weights(), max(self.sets, min(graph.steps, 2))
        biases = torch.zeros(sets, len(self.bias))
        biases[0] = self.bias
        graph.add(
            "Linear",
            f"{name}_terms",
            weights=tuple(weights.expand(sets, -1, -1)),
            biases=tuple(biases),
            of_step=tuple(min(t, sets - 1) for t in range(graph.steps)),
        )
        graph.add("Filter", name, poles=torch.ones(1, 1), gain=torch.ones(1))

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        found.add(name, "window", self, x)
        return VALUES

    def count_operations(self, counter: OperationCounter, x: Tensor, y: Tensor) -> None:
        weights = self.weights()
        if self.sets == 1:
            counter.add_products(weights[0], x)
            return
        for t in range(len(x)):
            counter.add_products(weights[t], x[t : t + 1], first=t)


class Decoder(Layer):
    """y = W_n ReLU(... W_1 ReLU(h)) of the value h of a window, `[T, B, H] -> [T, B, K]`.

    Without layers it is h. Only the last step is counted: that is the answer, and the others are
    not needed for it.

    Args:
        sizes: H, then the features of each layer, K last.
    """

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(sizes))

    def forward(self, h: Tensor) -> Tensor:
        for layer in self.layers:
            h = layer(relu(h))
        return h

    def stepper(self) -> Callable[[Tensor], Tensor]:
        return self.forward

    def synaptic_weights(self) -> list[Tensor]:
        return [layer.weight for layer in self.layers]  # type: ignore[misc]

    def lower(self, graph: Lowering, name: str) -> None:
        for i, layer in enumerate(self.layers, start=1):
            assert isinstance(layer, nn.Linear)
            graph.add("Relu", f"{name}_relu{i}")
            of_step = (0,) * graph.steps
            at = name if i == len(self.layers) else f"{name}_linear{i}"
            graph.add("Linear", at, weights=(layer.weight,), biases=(layer.bias,), of_step=of_step)

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        if self.layers:
            found.add(name, "decoder", self, x)
        return VALUES

    def count_operations(self, counter: OperationCounter, x: Tensor, y: Tensor) -> None:
        h = x[-1:]
        for layer in self.layers:
            h = relu(h)
            counter.add_products(layer.weight, h, first=len(x) - 1)  # type: ignore[arg-type]
            h = layer(h)
