"""Counting what passes through one layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..models.attention import SelfAttention
from ..models.layers import SpikingLayer
from .fan_out import FanOut
from .wiring import Wire

Operation = Literal["ac", "mac"]
Summed = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LayerCount:
    """What one layer spends, by step; sums over all samples, whole numbers, `[T]` float64.

    Attributes:
        name: of the layer.
        kind: `conv`, `linear`, `pool`, `attention` or `join`.
        operation: `ac` where the inputs are 0 or 1, so that a weight is added; `mac` elsewhere.
        effective: operations whose input and weight are not 0.
        dense: all operations, of any input and weight.
        events: inputs that are not 0.
        inputs, outputs: values that it is given, and that it gives.
        weights, zeros: number of weights, and how many of them are 0.
    """

    name: str
    kind: str
    operation: Operation
    effective: Tensor
    dense: Tensor
    events: Tensor
    inputs: Tensor
    outputs: Tensor
    weights: int
    zeros: int

    @property
    def synaptic(self) -> bool:
        """Whether it has synapses: weights that are learned."""
        return self.weights > 0


@dataclass(frozen=True)
class NeuronCount:
    """What one layer of neurons does, by step; sums over all samples, `[T]` float64.

    Attributes:
        name: of the layer.
        spiking: whether it has membranes and gives spikes; a rectifier has none.
        neurons: number of neurons of one sample.
        active: outputs that are not 0.
        updates: of membranes; each neuron makes one at each step.
    """

    name: str
    spiking: bool
    neurons: int
    active: Tensor
    updates: Tensor


class LayerCounter:
    """Counts what a layer with weights, or one that sums, is given.

    Attributes:
        batch: effective operations and events of each sample of this batch, `[2, T, B]`.
    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        adds = wire.spikes or wire.kind in ("pool", "join")
        self.operation: Operation = "ac" if adds else "mac"
        self.batch = torch.zeros(2, 1, 0)
        self.total: Tensor | None = None  # [5, T]: the rows of `LayerCount`
        self._fan_outs: dict[tuple[int, ...], FanOut] = {}

    def watch(self) -> Callable[[], None]:
        """See what the layer is given; return what ends it."""
        stem, layer = self.wire.stem, self.wire.layer
        if stem is not None:
            return stem.register_forward_pre_hook(lambda _, x: self._see_code(x[0])).remove
        if self.wire.kind == "join":
            return layer.register_forward_hook(self._see_given).remove
        return layer.register_forward_pre_hook(lambda _, x: self._see(x[0])).remove

    def begin(self, steps: int, samples: int) -> None:
        """Prepare for a batch."""
        self.batch = torch.zeros(2, steps, samples, dtype=torch.float64)
        self._rest = torch.zeros(3, steps, dtype=torch.float64)  # dense, inputs, outputs

    def end(self) -> None:
        """Take in what the batch came to."""
        rows = torch.cat([self.batch.sum(2), self._rest])
        self.total = rows if self.total is None else self.total + rows

    def count(self, summed: Summed) -> LayerCount:
        """Return what was counted, over all processes."""
        total = torch.zeros(5, 1, dtype=torch.float64) if self.total is None else self.total
        effective, events, dense, inputs, outputs = summed(total)
        has_synapses = self.wire.kind in ("conv", "linear")
        weight = self.wire.layer.weight if has_synapses else torch.zeros(0)
        assert isinstance(weight, Tensor)
        return LayerCount(
            name=self.wire.name,
            kind=self.wire.kind,
            operation=self.operation,
            effective=effective,
            dense=dense,
            events=events,
            inputs=inputs,
            outputs=outputs,
            weights=weight.numel(),
            zeros=int((weight == 0).sum()),
        )

    def _see_given(self, layer: nn.Module, x: tuple[Tensor, ...], y: Tensor) -> None:
        self._see(y)

    def _see_code(self, code: Tensor) -> None:
        stem = self.wire.stem
        assert stem is not None
        if self.wire.spikes:
            self._see(code[stem.analog_steps :], first=stem.analog_steps)
        else:
            self._see(stem.normalised(code))

    def _see(self, x: Tensor, first: int = 0) -> None:
        """Count `[n B, ...]` or `[n, B, ...]`, the n steps from `first`."""
        samples = self.batch.shape[2]
        if x.numel() == 0:
            return
        x = self._by_sample(x)
        shape = tuple(x.shape[1:])
        if shape not in self._fan_outs:
            self._fan_outs[shape] = FanOut(self.wire.layer, shape)
        fan_out = self._fan_outs[shape]
        steps = slice(first, first + len(x) // samples)
        self.batch[:, steps] += fan_out.count(x, spikes=self.wire.spikes).view(2, -1, samples).cpu()
        each = torch.tensor([[fan_out.dense], [fan_out.inputs], [fan_out.outputs]])
        self._rest[:, steps] += samples * each.double()

    def _by_sample(self, x: Tensor) -> Tensor:
        """Return `[n B, C, H, W]`, or `[n B, F]` of a linear layer."""
        if self.wire.stem is None and self.wire.kind == "linear":
            return x.flatten(0, -2)
        if self.wire.stem is not None or self.wire.kind == "join":
            x = x.flatten(0, 1)
        return x.flatten(1) if self.wire.kind == "linear" else x


class AttentionCounter(LayerCounter):
    """Counts Kᵀ V and Q (Kᵀ V): an operation for each pair of factors that are not 0."""

    def _see(self, x: Tensor, first: int = 0) -> None:
        layer = self.wire.layer
        assert isinstance(layer, SelfAttention)
        steps, samples = x.shape[:2]
        q, k, v = layer.split(x)  # [T B, heads, tokens, depth]
        summed = (k.transpose(-1, -2) @ v).ne(0).sum(3)  # values that a query of a channel meets
        first_product = k.ne(0).sum(3) * v.ne(0).sum(3)
        second_product = q.ne(0).sum(2) * summed
        operations = first_product.sum((1, 2)) + second_product.sum((1, 2))
        self.batch[0] += operations.view(steps, samples).cpu()
        self.batch[1] += x.ne(0).flatten(2).sum(2).cpu()
        dense = 2 * q[0].numel() * q.shape[3]
        each = torch.tensor([dense, 3 * q[0].numel(), q[0].numel()], dtype=torch.float64)
        self._rest += samples * each.view(3, 1)


class NeuronCounter:
    """Counts what a layer of neurons gives."""

    def __init__(self, wire: Wire) -> None:
        assert isinstance(wire.layer, SpikingLayer)
        self.wire = wire
        self.spiking = getattr(wire.layer.neuron, "spiking", True)
        self.neurons = 0
        self.total: Tensor | None = None  # [2, T]: active, places

    def watch(self) -> Callable[[], None]:
        """See what the neurons give; return what ends it."""
        layer = self.wire.layer
        assert isinstance(layer, SpikingLayer)
        if self.spiking:
            layer.watchers.append(self._add)
            return lambda: layer.watchers.remove(self._add)
        return layer.neuron.register_forward_hook(
            lambda _, x, y: self._add(y.ne(0).flatten(1).sum(1), y[0].numel())
        ).remove

    def begin(self, steps: int, samples: int) -> None:
        """Prepare for a batch."""
        self._samples = samples

    def end(self) -> None:
        """Take in what the batch came to."""

    def _add(self, active: Tensor, places: int) -> None:
        found = torch.stack([active.double().cpu(), torch.full((len(active),), float(places))])
        self.neurons = places // max(self._samples, 1)
        self.total = found if self.total is None else self.total + found

    def count(self, summed: Summed) -> NeuronCount:
        """Return what was counted, over all processes."""
        total = torch.zeros(2, 1, dtype=torch.float64) if self.total is None else self.total
        active, places = summed(total)
        return NeuronCount(
            name=self.wire.name,
            spiking=self.spiking,
            neurons=self.neurons,
            active=active,
            updates=places if self.spiking else torch.zeros_like(places),
        )
