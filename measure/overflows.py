"""Neurons of exact times that would have fired more often than they may."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

import torch
from torch import Tensor, nn

from ..models.timing.layer import timing_layers
from ..models.timing.multi_spike import MultiSpike


class Overflows:
    """Count, while the context is open, how many neurons fired `most` times and would have again.

    >>> from asnn.models import create_model
    >>> model = create_model("mlp", in_shape=(1, 2, 2), classes=2, steps=3)
    >>> with Overflows(model) as overflows, torch.no_grad():
    ...     _ = model(torch.zeros(5, 1, 2, 2))
    >>> overflows.by_layer()
    {}
    """

    def __init__(self, model: nn.Module) -> None:
        layers = timing_layers(model).items()
        self._neurons = {
            name: layer.neuron for name, layer in layers if isinstance(layer.neuron, MultiSpike)
        }
        self._counts: dict[str, Tensor] = {}  # of overflows, and of neurons times samples

    def __enter__(self) -> Overflows:
        for neuron in self._neurons.values():
            neuron.overflows, neuron.runs = 0, 0
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name, neuron in self._neurons.items():
            counts = [neuron.overflows, neuron.runs]
            self._counts[name] = torch.tensor(counts, dtype=torch.float64)

    def all_reduce(self, sum_over_processes: Callable[[Tensor], Tensor]) -> None:
        """Add the counts of all processes; every process must call it."""
        self._counts = {name: sum_over_processes(each) for name, each in self._counts.items()}

    def by_layer(self) -> dict[str, float]:
        """Return the share of the neurons of each layer that has run, over all samples."""
        return {name: float(lost / runs) for name, (lost, runs) in self._counts.items() if runs}
