"""How many operations a network spends, counted from what really passes through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

import torch
from torch import Tensor, nn

from ...models.network import SpikingNetwork
from .counters import AttentionCounter, LayerCount, LayerCounter, NeuronCount, NeuronCounter
from .layer_graph import LayerGraph, LayerInfo


@dataclass(frozen=True)
class Counts:
    """What a network spends on a split.

    Attributes:
        samples: N.
        layers, neurons: in order of computation.
        ac, mac: of each sample at each step over all layers, `[T, N]` float64.
        reads: of them, those that read a weight.
        events: spikes that layers are given.
        parameters: their number.
        footprint: bytes of parameters and buffers.
        uncounted: names of layers with parameters that nothing is known of.
    """

    samples: int
    layers: list[LayerCount]
    neurons: list[NeuronCount]
    ac: Tensor
    mac: Tensor
    reads: Tensor
    events: Tensor
    parameters: int
    footprint: int
    uncounted: list[str]

    @property
    def steps(self) -> int:
        """Number of time steps T."""
        return len(self.ac)

    def activation_sparsity(self) -> float:
        """Return the share of outputs of neurons that are 0."""
        places = sum(layer.neurons for layer in self.neurons) * self.samples * self.steps
        active = sum(float(layer.active.sum()) for layer in self.neurons)
        return 1 - active / places if places else 0.0

    def connection_sparsity(self) -> float:
        """Return the share of weights that are 0."""
        weights = sum(layer.weights for layer in self.layers)
        return sum(layer.zeros for layer in self.layers) / weights if weights else 0.0


class Operations:
    """Count the operations of a network while the context is open.

    An input x_i that is not 0 costs an operation for each weight that is not 0 on its way to an
    output that exists: with strides, zeros around an image, groups and dilation as they are,

        effective_t = Σ_i [x_{t,i} ≠ 0] Σ_o [w_{o,i} ≠ 0]

    It is an accumulate (`ac`) where the layer is given spikes, a multiply-accumulate (`mac`) where
    it is given values. `dense` counts all inputs and weights. Mean pools accumulate; a residual
    sum accumulates its shortcut; attention of spikes accumulates Kᵀ V and then Q (Kᵀ V). Biases,
    max-pools and gates of spikes cost nothing here. A static code is weighed once, at step 1.

    Args:
        network: usually `frozen()`: norms are folded into weights, as in what is deployed.

    Source: effective and dense synaptic operations as NeuroBench counts them (Yik et al., Nature
    Communications 2025).

    >>> from asnn.models import create_model
    >>> model = create_model("mlp", in_shape=(1, 2, 2), classes=2, steps=3, features=[5]).eval()
    >>> with torch.no_grad(), Operations(model) as operations:
    ...     _ = model(torch.ones(7, 1, 2, 2))
    >>> first = operations.counts().layers[0]
    >>> first.name, first.operation, first.effective.tolist()  # 7 images of 4 pixels to 5 neurons
    ('linear1.analog.1', 'mac', [140.0, 0.0, 0.0])
    """

    def __init__(self, network: SpikingNetwork) -> None:
        self._network = network
        self._wiring = LayerGraph.of(network.body)
        self._counters = [_counter(wire) for wire in self._wiring.wires]
        self._ends: list[Callable[[], None]] = []
        self._by_sample: list[Tensor] = []  # [4, T, B] of each batch, as in `Counts`
        self._samples = 0

    def __enter__(self) -> Operations:
        body = self._network.body
        self._ends = [
            body.register_forward_pre_hook(self._begin).remove,
            *(counter.watch() for counter in self._counters),
            body.register_forward_hook(self._end).remove,
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for end in self._ends:
            end()
        self._ends = []

    def counts(
        self,
        summed: Callable[[Tensor], Tensor] = lambda found: found,
        gathered: Callable[[Tensor], Tensor] = lambda found: found,
    ) -> Counts:
        """Return what was counted.

        Args:
            summed: gives the sum of a tensor over all processes, each of which calls it.
            gathered: gives `[..., N]` of the samples of all processes, in order.
        """
        lost = [c.wire.name for c in self._layer_counters() if c.lost]
        found = [c.count(summed) for c in self._counters if c.wire.name not in lost]
        none = torch.zeros(4, 1, 0, dtype=torch.float64)
        ac, mac, reads, events = gathered(
            torch.cat(self._by_sample, 2) if self._by_sample else none
        )
        tensors = (*self._network.parameters(), *self._network.buffers())
        return Counts(
            samples=int(summed(torch.tensor(self._samples))),
            layers=[count for count in found if isinstance(count, LayerCount)],
            neurons=[count for count in found if isinstance(count, NeuronCount)],
            ac=ac,
            mac=mac,
            reads=reads,
            events=events,
            parameters=sum(value.numel() for value in self._network.parameters()),
            footprint=sum(value.numel() * value.element_size() for value in tensors),
            uncounted=self._wiring.unknown + lost,
        )

    def _begin(self, body: nn.Module, given: tuple[Tensor, ...]) -> None:
        for counter in self._counters:
            counter.begin(*given[0].shape[:2])

    def _end(self, body: nn.Module, given: tuple[Tensor, ...], logits: Tensor) -> None:
        steps, samples = given[0].shape[:2]
        sums = torch.zeros(4, steps, samples, dtype=torch.float64)
        for counter in self._counters:
            counter.end()
        for counter in self._layer_counters():
            effective, events = counter.batch
            sums[0 if counter.operation == "ac" else 1] += effective
            sums[2] += effective if counter.has_synapses else 0
            sums[3] += events if counter.wire.spikes else 0
        self._by_sample.append(sums)
        self._samples += samples

    def _layer_counters(self) -> list[LayerCounter]:
        return [counter for counter in self._counters if isinstance(counter, LayerCounter)]


def _counter(wire: LayerInfo) -> LayerCounter | NeuronCounter:
    if wire.kind == "neuron":
        return NeuronCounter(wire)
    return AttentionCounter(wire) if wire.kind == "attention" else LayerCounter(wire)
