"""Spiking outputs, whose counts are the answer."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..layer import SPIKES, VALUES, Lowering, OperationCounter, OperationList, Signal, count_filter
from ..neurons.iir import Iir
from ..stepwise import stepper
from .decision import running_mean
from .mean import Readout


class SpikesReadout(Readout):
    """Spikes of each step `[T, B, K]`: those of `iir` neurons with the input scale_t (W s_t + b).

    The answer after step t is the mean of the spikes of the steps 1..t. A loss compares their
    number, Σ_t s_t, with the target; `van-rossum` the spike trains.

    Args:
        features, classes, steps, scaled: as of `Readout`.
        tau, threshold: of the neurons.

    Raises:
        ConfigError: an option out of range.

    Source: arXiv 2003.02944, whose loss is the cross-entropy of the spike counts.
    """

    answers_with_mean = False  # the mean of the features does not give it
    sends_spikes = True
    answers_with_counts = True

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        steps: int,
        scaled: bool,
        tau: float = 4.0,
        threshold: float = 1.0,
    ) -> None:
        super().__init__(features, classes, steps=steps, scaled=scaled)
        self.neuron = Iir(steps, classes, tau=tau, threshold=threshold)

    def forward(self, spikes: Tensor) -> Tensor:
        return self.neuron(super().forward(spikes))

    def stepper(self) -> Callable[[Tensor], Tensor]:
        logits, neuron = super().stepper(), stepper(self.neuron)
        return lambda spikes: neuron(logits(spikes))

    def so_far(self, outputs: Tensor) -> Tensor:
        return running_mean(outputs)

    def answer(self, outputs: Tensor) -> Tensor:
        """Return the number of spikes, `[B, K]`."""
        return outputs.sum(0)

    def lower(self, graph: Lowering, name: str) -> None:
        super().lower(graph, f"{name}_inputs")
        graph.neuron(name, self.neuron)
        graph.answers_with("mean")

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        found.visit(name, self.linear, x)
        found.add(f"{name}.reset", "filter", self, VALUES, operation="mac")
        return SPIKES

    def count_operations(self, counter: OperationCounter, x: Tensor, y: Tensor) -> None:
        count_filter(counter, y, 1)  # the decay of each reset
