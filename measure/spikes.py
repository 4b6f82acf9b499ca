"""Spikes of every neuron layer and of every sample, counted while the network runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import TracebackType

import torch
from torch import Tensor, nn

from ..models.layers.spiking import SpikingLayer
from ..models.network import SpikingNetwork
from ..models.timing.layer import timing_layers
from .cost.counters import at_ends, at_first_step

SpikeObserver = Callable[[Tensor, int], None]


class SpikeRates:
    """Count spikes of each layer and step while the context is open.

    The rate of layer l at step t is the number of spikes over the number of neurons and samples.
    Layers without spikes (ReLU) are left out.

    >>> from asnn.models import create_model
    >>> model = create_model("mlp", in_shape=(1, 2, 2), classes=2, steps=3)
    >>> with SpikeRates(model) as rates:
    ...     _ = model(torch.zeros(5, 1, 2, 2))
    >>> list(rates.by_layer()), len(rates.by_layer()["spikes1"])
    (['spikes1', 'spikes2'], 3)
    """

    def __init__(self, model: nn.Module) -> None:
        self._layers = _spiking_layers(model)
        self._spikes: dict[str, Tensor] = {}
        self._outputs: dict[str, int] = {}  # neurons × samples
        self._attached: list[tuple[SpikingLayer, SpikeObserver]] = []

    def __enter__(self) -> SpikeRates:
        for name, layer in self._layers.items():
            observer = self._observer(name)
            layer.spike_observers.append(observer)
            self._attached.append((layer, observer))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for layer, observer in self._attached:
            layer.spike_observers.remove(observer)
        self._attached.clear()

    def all_reduce(self, sum_over_processes: Callable[[Tensor], Tensor]) -> None:
        """Add the counts of all processes.

        Args:
            sum_over_processes: returns the sum of a tensor; every process must call it.
        """
        for name in self._layers:
            if name in self._spikes:
                self._spikes[name] = sum_over_processes(self._spikes[name])
                self._outputs[name] = int(sum_over_processes(torch.tensor(self._outputs[name])))

    def by_layer(self) -> dict[str, list[float]]:
        """Return the rate of each layer at each step."""
        return {
            name: (spikes / max(self._outputs[name], 1)).tolist()
            for name, spikes in self._spikes.items()
        }

    def total(self) -> float:
        """Return the number of spikes of all layers and steps; 0 before anything has run."""
        return sum(float(count.sum()) for count in self._spikes.values())

    def mean(self) -> float:
        """Return the rate over all neurons and steps; 0 before anything has run."""
        outputs = sum(self._outputs[name] * len(count) for name, count in self._spikes.items())
        return self.total() / outputs if outputs else 0.0

    def _observer(self, name: str) -> SpikeObserver:
        def observe(counts: Tensor, outputs: int) -> None:
            by_step = counts.cpu()
            if name in self._spikes:
                by_step = by_step + self._spikes[name]
            self._spikes[name] = by_step
            self._outputs[name] = self._outputs.get(name, 0) + outputs

        return observe


class SampleSpikes:
    """Count the spikes of each step and sample in each forward pass while the context is open.

    The sum over all layers, before pooling; a whole number k counts k times. What a layer computes
    is the same, but a pool takes a pass of its own. Where layers fire in windows one after the
    other, the steps are those of the last window, and all earlier spikes count at its first.

    >>> from asnn.models import create_model
    >>> model = create_model("mlp", in_shape=(1, 2, 2), classes=2, steps=3).eval()
    >>> with torch.no_grad(), SampleSpikes(model) as spikes:
    ...     _ = model(torch.zeros(5, 1, 2, 2))
    >>> spikes.take().shape
    torch.Size([3, 5])
    """

    def __init__(self, model: nn.Module) -> None:
        self._layers = list(_spiking_layers(model).values())
        self._counts: list[Tensor] = []
        self._attached: list[tuple[SpikingLayer, Callable[[Tensor], None]]] = []

    def __enter__(self) -> SampleSpikes:
        in_windows = [layer for layer in self._layers if getattr(layer.neuron, "held", False)]
        for layer in self._layers:
            observer = partial(self._observe, layer in in_windows[:-1])
            layer.count_observers.append(observer)
            self._attached.append((layer, observer))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for layer, observer in self._attached:
            layer.count_observers.remove(observer)
        self._attached.clear()

    def take(self) -> Tensor | None:
        """Return the counts since the last call `[T, B]`, float64 on the CPU; None without spiking
        layers."""
        if not self._layers:
            return None
        steps = max(map(len, self._counts))  # layers behind an accumulator have fewer
        counts = [at_ends(each, steps // len(each)) for each in self._counts]
        self._counts.clear()
        return sum(counts[1:], counts[0]).cpu()

    def _observe(self, before: bool, sent: Tensor) -> None:
        # float32 counts exactly up to 2²⁴ only.
        neurons, exact = sent[:1, :1].numel(), 2**24
        many = neurons * 255 > exact and neurons * float(sent.max()) > exact
        dtype = torch.float64 if many else torch.float32
        counts = sent.movedim(2, -1).flatten(2).sum(2, dtype=dtype).double()
        self._counts.append(at_first_step(counts, 0) if before else counts)


class SpikesToDecision:
    """Count the spikes of each sample up to its decision, at exact times, in each forward pass
    while the context is open.

    They are those of all layers, the output spike that decides among them; of a sample without a
    decision all its spikes. There are none where the readout does not decide at a time.
    """

    def __init__(self, model: SpikingNetwork) -> None:
        self._layers = timing_layers(model).values()
        self._readout = model.readout
        self._times: list[Tensor] = []  # of the spikes of each layer so far
        self._counts: Tensor | None = None
        self._detach: list[Callable[[], None]] = []

    def __enter__(self) -> SpikesToDecision:
        if decides_at_times(self._readout):
            self._detach = [
                *(layer.register_forward_hook(self._keep).remove for layer in self._layers),
                self._readout.register_forward_pre_hook(self._decide).remove,
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
        self._detach, self._times = [], []

    def take(self) -> Tensor | None:
        """Return the counts of the last pass `[1, B]`, float64 on the CPU; None where there are
        none."""
        counts, self._counts = self._counts, None
        return counts

    def _keep(self, layer: nn.Module, x: tuple[Tensor, ...], y: Tensor) -> None:
        self._times.append(y[0].flatten(1))

    def _decide(self, readout: nn.Module, x: tuple[Tensor, ...]) -> None:
        until = self._readout.decided_at(x[0]).unsqueeze(1)  # type: ignore[operator]
        counts = [(t.isfinite() & (t <= until)).sum(1) for t in self._times]
        self._counts, self._times = torch.stack(counts).sum(0, True).double().cpu(), []


def decides_at_times(readout: nn.Module) -> bool:
    """Return whether a readout decides at an exact time."""
    return callable(getattr(readout, "decided_at", None))


def _spiking_layers(model: nn.Module) -> dict[str, SpikingLayer]:
    """Return the layers with spikes by their names; those of ReLU have none."""
    return {
        name.removeprefix("body."): module
        for name, module in model.named_modules()
        if isinstance(module, SpikingLayer) and getattr(module.neuron, "spiking", True)
    }
