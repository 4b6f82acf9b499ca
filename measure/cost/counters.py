"""Counters of the operations of one layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...models.layer import onsets, synaptic_weights
from ...models.layers.spiking import SpikingLayer
from ...models.timing.neuron import TimingNeuron
from .fan_out import FanOut
from .layer_graph import LayerInfo, Operation

Reduce = Callable[[Tensor], Tensor]  # the sum of a tensor over all processes


@dataclass(frozen=True)
class LayerCount:
    """Operations of one layer by step: sums over all samples, integers, `[T]` float64.

    Attributes:
        name: of the layer.
        kind, operation: as of `LayerInfo`.
        given: `spikes`, `counts` or `values`: what its input is.
        effective: operations with nonzero input and nonzero weight; a count k adds k times.
        dense: all operations, whatever the input and the weights.
        events: nonzero inputs; a count k is k events.
        inputs: all inputs.
        weights, zeros: number of weights, and of weights equal to 0.
        steps_per_output: of an accumulator, the steps that it adds up.
    """

    name: str
    kind: str
    operation: Operation
    given: str
    effective: Tensor
    dense: Tensor
    events: Tensor
    inputs: Tensor
    weights: int
    zeros: int
    steps_per_output: int = 1

    @property
    def spikes(self) -> bool:
        """Whether its input is sent as addresses: spikes, or counts of them."""
        return self.given != "values"

    @property
    def synaptic(self) -> bool:
        """Whether it has learned weights."""
        return self.weights > 0


@dataclass(frozen=True)
class NeuronCount:
    """Activity of one layer of neurons by step: sums over all samples, `[T]` float64.

    Attributes:
        name: of the layer.
        spiking: whether it has membranes and spikes; ReLU has neither.
        neurons: number of neurons per sample.
        active: nonzero outputs.
        updates: of membranes: one per neuron and step, of neurons that fire once up to their spike.
        draws: of random numbers, one per update of neurons that draw.
        every: how many steps of the network a step of the layer takes, see `LayerInfo`.
    """

    name: str
    spiking: bool
    neurons: int
    active: Tensor
    updates: Tensor
    draws: Tensor
    every: int = 1


def at_first_step(x: Tensor, axis: int) -> Tensor:
    """Return `x` with the sum over an axis of steps at the first step, and 0 at the others."""
    found = torch.zeros_like(x)
    found.narrow(axis, 0, 1).copy_(x.sum(axis, keepdim=True))
    return found


def at_ends(x: Tensor, every: int) -> Tensor:
    """Return counts of windows `[W, ...]` at their last steps, `[W · every, ...]`, else 0."""
    if every == 1:
        return x
    found = x.new_zeros(len(x) * every, *x.shape[1:])
    found[every - 1 :: every] = x
    return found


class LayerCounter:
    """Counts the operations of a layer with weights or of a sum, from its input.

    Attributes:
        info: the layer; its own steps may be windows of several steps of the network.
        batch: effective operations and events of each sample of the current batch, `[2, T, B]`.
        before: whether all of it is done before the first step of the last window, of a network of
            neurons that hold their spikes; it is then counted at that step.
        uncountable: whether the shape of an input did not show its steps and samples.
    """

    def __init__(self, info: LayerInfo) -> None:
        self.info = info
        self.operation: Operation = info.operation
        self.batch = torch.zeros(2, 1, 0)
        self.before = False
        self.uncountable = False
        self.total: Tensor | None = None  # [4, T]: effective, events, dense, inputs
        self._fan_outs: dict[tuple[int, ...], FanOut] = {}
        self._weights = synaptic_weights(info.layer)

    @property
    def has_synapses(self) -> bool:
        """Whether its operations read weights."""
        return bool(self._weights)

    def attach(self) -> Callable[[], None]:
        """Observe the layer's input; return the function that detaches the observer."""
        called, layer = self.info.called, self.info.layer
        if called is not None:
            return called.register_forward_pre_hook(lambda _, x: self._count_code(x[0])).remove
        if self.info.kind == "join":
            return layer.register_forward_hook(self._count_output).remove
        return layer.register_forward_pre_hook(lambda _, x: self._count(x[0])).remove

    def begin(self, steps: int, samples: int) -> None:
        """Prepare for a batch."""
        self.batch = torch.zeros(2, steps, samples, dtype=torch.float64)
        self._batch_totals = torch.zeros(2, steps, dtype=torch.float64)  # dense, inputs
        self._next_step = self.info.first

    def end(self) -> None:
        """Add the counts of the batch to the total."""
        samples = self.batch.shape[2]
        if samples and self._next_step == self.info.first < self._max_steps:
            self.uncountable = True  # it was not called: its weights are used in another way
        if self.before:
            self.batch = at_first_step(self.batch, 1)
            self._batch_totals = at_first_step(self._batch_totals, 1)
        rows = torch.cat([self.batch.sum(2), self._batch_totals])
        self.total = rows if self.total is None else self.total + rows

    def count(self, reduce: Reduce) -> LayerCount:
        """Return the counts, over all processes."""
        total = torch.zeros(4, 1, dtype=torch.float64) if self.total is None else self.total
        effective, events, dense, inputs = reduce(total)
        return LayerCount(
            name=self.info.name,
            kind=self.info.kind,
            operation=self.operation,
            given=self.info.given.kind,
            effective=effective,
            dense=dense,
            events=events,
            inputs=inputs,
            weights=sum(weight.numel() for weight in self._weights),
            zeros=sum(int((weight == 0).sum()) for weight in self._weights),
            steps_per_output=getattr(self.info.layer, "steps_per_output", 1),
        )

    @property
    def read(self) -> Tensor:
        """Events of the current batch that an operation reads, `[T, B]`: none of values, and none
        of what is handed on as it is."""
        if self.info.given.kind == "values":
            return torch.zeros_like(self.batch[1])
        return self.batch[1] * (self._batch_totals[0] > 0).unsqueeze(1)

    def _count_output(self, layer: nn.Module, x: tuple[Tensor, ...], y: Tensor) -> None:
        self._count(y)

    def _count_code(self, code: Tensor) -> None:
        assert self.info.inputs is not None
        x = self.info.inputs(code)
        self._count(x.flatten(2) if self.info.kind == "linear" else x)

    def _count(self, x: Tensor) -> None:
        """Count the next n steps: `[n, B, ...]` or `[n B, ...]`, the last axes those of the layer.

        Axes in between, such as tokens, belong to a sample. If a layer is used again, counting
        restarts at its first step.
        """
        max_steps, samples = self._max_steps, self.batch.shape[2]
        axes = {"linear": 1, "conv": 3, "pool": 3}.get(self.info.kind, x.dim() - 2)
        by_step = x.dim() > axes + 1 and x.shape[1] == samples and len(x) <= max_steps
        if x.numel() == 0:
            return
        number, remainder = (len(x), 0) if by_step else divmod(len(x), samples)
        steps = self._advance(0 if remainder else number)
        if steps is not None:
            self._count_rows(x.reshape(-1, *x.shape[x.dim() - axes :]), steps)

    def _count_rows(self, rows: Tensor, steps: slice) -> None:
        """Add the counts of some steps, from their inputs `[n B, ...]`."""
        number, samples = len(range(steps.start, steps.stop, steps.step)), self.batch.shape[2]
        if self.info.given.held:
            rows = onsets(rows.unflatten(0, (number, samples))).flatten(0, 1)
        shape = tuple(rows.shape[1:])
        fan_out = self._fan_out(shape, lambda: FanOut(self.info.layer, shape))
        found = fan_out.count(rows, self.info.given).view(2, number, samples, -1)
        self._add(steps, found.sum(3), len(rows) * fan_out.dense, len(rows) * fan_out.inputs)

    def _fan_out(self, key: tuple[int, ...], make: Callable[[], FanOut]) -> FanOut:
        if key not in self._fan_outs:
            self._fan_outs[key] = make()
        return self._fan_outs[key]

    def _advance(self, number: int) -> slice | None:
        """Return the steps of the network at which the next `number` steps of the layer are made;
        if they do not fit, None: the layer is uncountable."""
        max_steps = self._max_steps
        begin = self.info.first if self._next_step >= max_steps else self._next_step
        if not 0 < number <= max_steps - begin:
            self.uncountable = True
            return None
        self._next_step = begin + number
        return self._at(begin, number)

    def _at(self, begin: int, number: int) -> slice:
        """Return the steps of the network of so many steps of the layer: the ends of windows."""
        every = self.info.every
        return slice((begin + 1) * every - 1, (begin + number) * every, every)

    @property
    def _max_steps(self) -> int:
        return self.batch.shape[1] // self.info.every

    def _add(self, steps: slice, found: Tensor, dense: float, inputs: float) -> None:
        """Add the counts of some steps.

        Args:
            steps: of the counts.
            found: effective operations and events, `[2, n, B]`.
            dense, inputs: dense operations and inputs, over all samples and these steps.
        """
        self.batch[:, steps] += found.cpu()
        each = torch.tensor([[dense], [inputs]], dtype=torch.float64) / found.shape[1]
        self._batch_totals[:, steps] += each


class OwnCounter(LayerCounter):
    """Counts a layer that counts itself, by its `count_operations`.

    Attributes:
        until: as of `asnn.models.layer.OperationCounter`.
    """

    until: Tensor | None = None

    def attach(self) -> Callable[[], None]:
        """Observe input and output of the layer; return the function that detaches the observer."""
        return self.info.layer.register_forward_hook(self._ask).remove

    def add_products(self, weight: Tensor, x: Tensor, *, first: int = 0) -> None:
        """Add the products of a weight `[O, F]` and values `[n, B, F]`."""
        if x.numel():
            self._products += 1  # a layer may have several weights of one shape
            key = (self._products, *weight.shape)
            number, samples = x.shape[:2]
            fan_out = self._fan_out(key, lambda: FanOut.of_weight(weight))
            rows = x.flatten(0, 1)
            found = fan_out.count(rows, self.info.given).view(2, number, samples)
            self._add(
                self._part(first, number),
                found,
                len(rows) * fan_out.dense,
                len(rows) * fan_out.inputs,
            )

    def add(
        self, operations: Tensor, events: Tensor, *, dense: float, inputs: float, first: int = 0
    ) -> None:
        """Add operations and events `[n, B]` of n steps."""
        found = torch.stack([operations.double(), events.double()])
        self._add(self._part(first, len(operations)), found, dense, inputs)

    def _ask(self, layer: nn.Module, x: tuple[Tensor, ...], y: Tensor) -> None:
        if y.dim() < 2 or y.shape[1] != self.batch.shape[2]:
            self.uncountable = True
            return
        steps = self._advance(len(y))
        if steps is not None:
            self._begin, self._products = self._next_step - len(y), 0
            if y.numel():
                layer.count_operations(self, x[0], y)  # type: ignore[operator]

    def _part(self, first: int, number: int) -> slice:
        return self._at(self._begin + first, number)


class NeuronCounter:
    """Counts the outputs of a layer of neurons."""

    def __init__(self, info: LayerInfo) -> None:
        assert isinstance(info.layer, SpikingLayer)
        self.info = info
        self.spiking = getattr(info.layer.neuron, "spiking", True)
        self.before = False  # as of `LayerCounter`
        self.neurons = 0
        self.total: Tensor | None = None  # [2, T]: active, all outputs

    def attach(self) -> Callable[[], None]:
        """Observe the layer's output; return the function that detaches the observer."""
        layer = self.info.layer
        assert isinstance(layer, SpikingLayer)
        # Of counts of a step, observers are told the sum, not how many are above 0.
        by_step = (
            not isinstance(layer.neuron, TimingNeuron) and getattr(layer.neuron, "most", 1) > 1
        )
        if self.spiking and not by_step:
            layer.spike_observers.append(self._add)
            return lambda: layer.spike_observers.remove(self._add)
        return layer.neuron.register_forward_hook(
            lambda _, x, y: self._add(y.ne(0).flatten(1).sum(1), y[0].numel())
        ).remove

    def begin(self, steps: int, samples: int) -> None:
        """Prepare for a batch."""
        self._samples = samples

    def end(self) -> None:
        """End a batch; `_add` has counted it already."""

    def _add(self, active: Tensor, outputs: int) -> None:
        found = torch.stack([active.double().cpu(), torch.full((len(active),), float(outputs))])
        self.neurons = outputs // max(self._samples, 1)
        self.total = found if self.total is None else self.total + found

    def count(self, reduce: Reduce) -> NeuronCount:
        """Return the counts, over all processes."""
        total = torch.zeros(2, 1, dtype=torch.float64) if self.total is None else self.total
        active, outputs = reduce(total)
        assert isinstance(self.info.layer, SpikingLayer)
        neuron = self.info.layer.neuron
        updates = outputs if self.spiking else torch.zeros_like(outputs)
        if getattr(neuron, "once", False):
            updates = outputs - (active.cumsum(0) - active)
        if self.before:
            updates = at_first_step(updates, 0)
        draws = any(getattr(part, "draws", False) for part in neuron.modules())
        return NeuronCount(
            name=self.info.name,
            spiking=self.spiking,
            neurons=self.neurons,
            active=at_ends(active, self.info.every),
            updates=at_ends(updates, self.info.every),
            draws=at_ends(updates if draws else torch.zeros_like(updates), self.info.every),
            every=self.info.every,
        )
