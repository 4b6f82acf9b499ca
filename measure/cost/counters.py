"""Counting what passes through one layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ...models.layers.attention import SelfAttention
from ...models.layers.spiking import SpikingLayer
from .fan_out import FanOut
from .layer_graph import LayerInfo

Operation = Literal["ac", "mac"]
Summed = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LayerCount:
    """What one layer spends, by step; sums over all samples, whole numbers, `[T]` float64.

    Attributes:
        name: of the layer.
        kind: `conv`, `linear`, `pool`, `attention` or `join`.
        operation: `ac` where a weight or a value is added; `mac` where a product is.
        spikes: whether it is given spikes.
        effective: operations whose input and weight are not 0.
        dense: all operations, of any input and weight.
        events: inputs that are not 0.
        inputs: values that it is given.
        weights, zeros: number of weights, and how many of them are 0.
    """

    name: str
    kind: str
    operation: Operation
    spikes: bool
    effective: Tensor
    dense: Tensor
    events: Tensor
    inputs: Tensor
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
        lost: whether it was given something whose steps and samples cannot be told.
    """

    def __init__(self, wire: LayerInfo) -> None:
        self.wire = wire
        adds = wire.spikes or wire.kind in ("pool", "join")
        self.operation: Operation = "ac" if adds else "mac"
        self.batch = torch.zeros(2, 1, 0)
        self.lost = False
        self.total: Tensor | None = None  # [4, T]: effective, events, dense, inputs
        self._fan_outs: dict[tuple[int, ...], FanOut] = {}

    @property
    def has_synapses(self) -> bool:
        """Whether its operations read weights."""
        return self.wire.kind in ("conv", "linear")

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
        self._rest = torch.zeros(2, steps, dtype=torch.float64)  # dense, inputs
        self._at = self.wire.first  # the step that comes next

    def end(self) -> None:
        """Take in what the batch came to."""
        rows = torch.cat([self.batch.sum(2), self._rest])
        self.total = rows if self.total is None else self.total + rows

    def count(self, summed: Summed) -> LayerCount:
        """Return what was counted, over all processes."""
        total = torch.zeros(4, 1, dtype=torch.float64) if self.total is None else self.total
        effective, events, dense, inputs = summed(total)
        weight = self.wire.layer.weight if self.has_synapses else torch.zeros(0)
        assert isinstance(weight, Tensor)
        return LayerCount(
            name=self.wire.name,
            kind=self.wire.kind,
            operation=self.operation,
            spikes=self.wire.spikes,
            effective=effective,
            dense=dense,
            events=events,
            inputs=inputs,
            weights=weight.numel(),
            zeros=int((weight == 0).sum()),
        )

    def _see_given(self, layer: nn.Module, x: tuple[Tensor, ...], y: Tensor) -> None:
        self._see(y)

    def _see_code(self, code: Tensor) -> None:
        stem = self.wire.stem
        assert stem is not None
        x = code[stem.analog_steps :] if self.wire.spikes else stem.normalised(code)
        self._see(x.flatten(2) if self.wire.kind == "linear" else x)

    def _see(self, x: Tensor) -> None:
        """Count the next n steps: `[n, B, ...]` or `[n B, ...]`, the last axes those of the layer.

        Axes between belong to a sample, such as tokens. A layer that is used again begins anew.
        """
        most, samples = self.batch.shape[1:]
        axes = {"linear": 1, "conv": 3, "pool": 3}.get(self.wire.kind, x.dim() - 2)
        by_step = x.dim() > axes + 1 and x.shape[1] == samples and len(x) <= most
        if x.numel() == 0:
            return
        number, rest = (len(x), 0) if by_step else divmod(len(x), samples)
        steps = self._next(0 if rest else number)
        if steps is None:
            return
        rows = x.reshape(-1, *x.shape[x.dim() - axes :])
        shape = tuple(rows.shape[1:])
        if shape not in self._fan_outs:
            self._fan_outs[shape] = FanOut(self.wire.layer, shape)
        fan_out = self._fan_outs[shape]
        found = fan_out.count(rows, spikes=self.wire.spikes).view(2, number, samples, -1)
        self._take(steps, found.sum(3), len(rows) * fan_out.dense, len(rows) * fan_out.inputs)

    def _next(self, number: int) -> slice | None:
        """Return the next so many steps; None, and the layer is lost, where they do not fit."""
        begin = self.wire.first if self._at >= self.batch.shape[1] else self._at
        if not 0 < number <= self.batch.shape[1] - begin:
            self.lost = True
            return None
        self._at = begin + number
        return slice(begin, self._at)

    def _take(self, steps: slice, found: Tensor, dense: float, inputs: float) -> None:
        """Add what some steps came to.

        Args:
            steps: which.
            found: effective operations and events, `[2, n, B]`.
            dense, inputs: dense operations and inputs of all samples and steps.
        """
        self.batch[:, steps] += found.cpu()
        each = torch.tensor([[dense], [inputs]], dtype=torch.float64) / found.shape[1]
        self._rest[:, steps] += each


class AttentionCounter(LayerCounter):
    """Counts Kᵀ V and Q (Kᵀ V): an operation for each pair of factors that are not 0."""

    def _see(self, x: Tensor) -> None:
        layer = self.wire.layer
        assert isinstance(layer, SelfAttention)
        number, samples = x.shape[:2]
        steps = self._next(number)
        if steps is None:
            return
        _, k, v = layer.split(x)
        met = (k.transpose(-1, -2) @ v).ne(0).to(x.dtype).sum(3)  # by a query of each channel
        there = x if self.wire.spikes else x.ne(0).to(x.dtype)
        q, k, v = layer.split(there)  # [T B, heads, tokens, depth]
        pairs = k.sum(3).double() * v.sum(3).double()
        operations = pairs.sum((1, 2)) + (q.sum(2).double() * met.double()).sum((1, 2))
        events = q.sum((1, 2, 3)) + k.sum((1, 2, 3)) + v.sum((1, 2, 3))
        found = torch.stack([operations, events.double()]).view(2, number, samples)
        inputs = x.numel()
        self._take(steps, found, 2 * (inputs // 3) * q.shape[3], inputs)


class NeuronCounter:
    """Counts what a layer of neurons gives."""

    def __init__(self, wire: LayerInfo) -> None:
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
            layer.spike_observers.append(self._add)
            return lambda: layer.spike_observers.remove(self._add)
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
