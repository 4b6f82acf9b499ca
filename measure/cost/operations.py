"""Operations of a network, counted from the activations of its layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

import torch
from torch import Tensor, nn

from ...models.layer import answers
from ...models.layers.temporal import TapConv2d
from ...models.network import SpikingNetwork
from ...models.timing.layer import TimingLayer
from .counters import LayerCount, LayerCounter, NeuronCount, NeuronCounter, OwnCounter
from .layer_graph import LayerGraph, LayerInfo
from .taps import TapCounter
from .until_decision import CounterUntilDecision


@dataclass(frozen=True)
class Counts:
    """Operations of a network on a split.

    Attributes:
        samples: N.
        layers, neurons: in order of computation.
        ac, mac: accumulates and multiply-accumulates over all layers, `[T, N]` float64.
        reads: the part of them that reads a weight, `[T, N]`.
        events: spikes in the inputs of layers that operations read, `[T, N]`.
        draws: random numbers of a readout that draws, one an output: sums over all samples, `[T]`.
        parameters: number of parameters.
        footprint: bytes of parameters and buffers.
        uncounted: names of layers with parameters whose operations are not counted.
        graded: whether a count was taken for one spike with a number, see `CostTable`.
    """

    samples: int
    layers: list[LayerCount]
    neurons: list[NeuronCount]
    ac: Tensor
    mac: Tensor
    reads: Tensor
    events: Tensor
    draws: Tensor
    parameters: int
    footprint: int
    uncounted: list[str]
    graded: bool

    @property
    def steps(self) -> int:
        """Number of time steps T."""
        return len(self.ac)

    def activation_sparsity(self) -> float | None:
        """Return the share of neuron outputs that are 0; None without neurons."""
        of_sample = sum(layer.neurons * (self.steps // layer.every) for layer in self.neurons)
        outputs = of_sample * self.samples
        active = sum(float(layer.active.sum()) for layer in self.neurons)
        return 1 - active / outputs if outputs else None

    def connection_sparsity(self) -> float:
        """Return the share of weights that are 0."""
        weights = sum(layer.weights for layer in self.layers)
        return sum(layer.zeros for layer in self.layers) / weights if weights else 0.0


class Operations:
    """Count the operations of a network while the context is open.

    A nonzero input x_i costs one operation for each nonzero weight that connects it to an output,
    with the layer's own stride, padding, groups and dilation:

        effective_t = Σ_i [x_{t,i} ≠ 0] Σ_o [w_{o,i} ≠ 0]

    The operation is an accumulate (`ac`) if the input is spikes, a multiply-accumulate (`mac`) if
    it is values. `dense` counts all inputs and weights. Mean pools accumulate; a residual sum
    accumulates its shortcut; attention of spikes accumulates Kᵀ V and then Q (Kᵀ V). Recurrent
    weights accumulate the spikes of the step before, from the second step on. An LSTM multiplies
    inputs and states by weights, 4 F (I + F) at each step; its gates are not counted. An
    accumulator adds each spike; the layers after it are counted at the ends of its windows. Biases,
    max-pools and gates of spikes are not counted. The first layer is counted once, at step 1, if
    the code is static. Where neurons fire in windows one after the other, all that is done before
    the last window is counted at its first step.

    Args:
        network: usually `frozen()`, in which norms are folded into weights as for deployment.
        graded: take a count k for one spike with a number, not for k spikes.
        until_decision: of a network of exact times that is decided at one, count for each sample
            what is computed before.

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

    def __init__(
        self, network: SpikingNetwork, *, graded: bool = False, until_decision: bool = False
    ) -> None:
        self._network = network
        self._until_decision = until_decision
        self._graph = LayerGraph.of(network.body, graded=graded)
        self._counters = [_counter(info, until_decision) for info in self._graph.layers]
        _mark_windows_before(self._counters)
        self._detach: list[Callable[[], None]] = []
        self._by_sample: list[Tensor] = []  # [4, T, B] of each batch, as in `Counts`
        self._samples = 0
        self._draws: Tensor | None = None

    def __enter__(self) -> Operations:
        body = self._network.body
        self._detach = [
            body.register_forward_pre_hook(self._begin).remove,
            *(counter.attach() for counter in self._counters),
            *self._attach_to_readout(),
            body.register_forward_hook(self._end).remove,
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for detach in self._detach:
            detach()
        self._detach = []

    def counts(
        self,
        reduce: Callable[[Tensor], Tensor] = lambda value: value,
        gather: Callable[[Tensor], Tensor] = lambda value: value,
    ) -> Counts:
        """Return the counts.

        Args:
            reduce: returns the sum of a tensor over all processes; every process calls it.
            gather: returns `[..., N]` for the samples of all processes, in order.
        """
        uncountable = [c.info.name for c in self._layer_counters() if c.uncountable]
        found = [c.count(reduce) for c in self._counters if c.info.name not in uncountable]
        empty = torch.zeros(4, 1, 0, dtype=torch.float64)
        ac, mac, reads, events = gather(torch.cat(self._by_sample, 2) if self._by_sample else empty)
        draws = torch.zeros(1, dtype=torch.float64) if self._draws is None else self._draws
        tensors = (*self._network.parameters(), *self._network.buffers())
        return Counts(
            samples=int(reduce(torch.tensor(self._samples))),
            layers=[count for count in found if isinstance(count, LayerCount)],
            neurons=[count for count in found if isinstance(count, NeuronCount)],
            ac=ac,
            mac=mac,
            reads=reads,
            events=events,
            draws=reduce(draws),
            parameters=sum(value.numel() for value in self._network.parameters()),
            footprint=sum(value.numel() * value.element_size() for value in tensors),
            uncounted=self._graph.unknown + uncountable,
            graded=self._graph.graded,
        )

    def _attach_to_readout(self) -> list[Callable[[], None]]:
        if not self._until_decision:
            return []
        readout = self._network.readout
        return [readout.register_forward_pre_hook(lambda _, x: self._decide(x[0])).remove]

    def _decide(self, spikes: Tensor) -> None:
        times = self._network.readout.decided_at(spikes)  # type: ignore[operator]
        for counter in self._counters:
            if isinstance(counter, CounterUntilDecision):
                counter.count_until(times)

    def _begin(self, body: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        for counter in self._counters:
            counter.begin(*inputs[0].shape[:2])

    def _end(self, body: nn.Module, inputs: tuple[Tensor, ...], logits: Tensor) -> None:
        steps, samples = inputs[0].shape[:2]
        sums = torch.zeros(4, steps, samples, dtype=torch.float64)
        for counter in self._counters:
            counter.end()
        for counter in self._layer_counters():
            effective = counter.batch[0]
            sums[0 if counter.operation == "ac" else 1] += effective
            sums[2] += effective if counter.has_synapses else 0
            sums[3] += counter.read
        self._by_sample.append(sums)
        self._samples += samples
        drawn = logits[0].numel() if getattr(self._network.readout, "draws", False) else 0
        draws = torch.full((steps,), float(drawn), dtype=torch.float64)
        self._draws = draws if self._draws is None else self._draws + draws

    def _layer_counters(self) -> list[LayerCounter]:
        return [counter for counter in self._counters if isinstance(counter, LayerCounter)]


def _mark_windows_before(counters: list[LayerCounter | NeuronCounter]) -> None:
    """Mark what is done before the last window: all before the last neurons that hold spikes."""
    windows = [i for i, each in enumerate(counters) if _fires_in_window(each.info)]
    for counter in counters[: windows[-1]] if windows else []:
        counter.before = True


def _fires_in_window(info: LayerInfo) -> bool:
    return info.kind == "neuron" and getattr(info.layer.neuron, "held", False)


def _counter(info: LayerInfo, until_decision: bool) -> LayerCounter | NeuronCounter:
    if info.kind == "neuron":
        return NeuronCounter(info)
    if isinstance(info.layer, TapConv2d):
        return TapCounter(info)
    if until_decision and isinstance(info.layer, TimingLayer):
        return CounterUntilDecision(info)
    return (OwnCounter if answers(info.layer, "count_operations") else LayerCounter)(info)
