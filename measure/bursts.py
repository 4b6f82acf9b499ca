"""Neurons that send more than one spike in a step, counted while the network runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import TracebackType

import torch
from torch import Tensor, nn

from ..models.layers.spiking import SpikingLayer
from ..models.timing.layer import TimingLayer


class BurstShares:
    """Count bursts of each layer while the context is open: neurons and steps with k > 1 spikes.

    The share of a layer is their number over the number of neurons, samples and steps. Layers that
    send at most one spike in a step are left out.

    >>> from asnn.models import create_model
    >>> model = create_model("mlp", in_shape=(1, 2, 2), classes=2, steps=3, neuron="integrate",
    ...                      neuron_options={"most": 2}, features=[5])
    >>> with BurstShares(model) as bursts:
    ...     _ = model(torch.zeros(5, 1, 2, 2))
    >>> bursts.by_layer()
    {'spikes1': 0.0}
    """

    def __init__(self, model: nn.Module) -> None:
        self._layers = {
            name.removeprefix("body."): layer
            for name, layer in model.named_modules()
            if isinstance(layer, SpikingLayer)
            and not isinstance(layer, TimingLayer)  # which has no steps
            and getattr(layer.neuron, "most", 1) > 1
        }
        self._counts: dict[str, Tensor] = {}  # of bursts, and of neurons × samples × steps
        self._attached: list[tuple[SpikingLayer, Callable[[Tensor], None]]] = []

    def __enter__(self) -> BurstShares:
        for name, layer in self._layers.items():
            observer = partial(self._observe, name)
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

    def all_reduce(self, sum_over_processes: Callable[[Tensor], Tensor]) -> None:
        """Add the counts of all processes; every process must call it."""
        for name in self._layers:
            counts = self._counts.get(name, torch.zeros(2, dtype=torch.float64))
            self._counts[name] = sum_over_processes(counts)

    def by_layer(self) -> dict[str, float]:
        """Return the share of each layer that has run."""
        return {
            name: float(bursts / outputs)
            for name, (bursts, outputs) in self._counts.items()
            if outputs
        }

    def _observe(self, name: str, sent: Tensor) -> None:
        counts = torch.tensor([int((sent > 1).sum()), sent.numel()], dtype=torch.float64)
        self._counts[name] = self._counts.get(name, torch.zeros_like(counts)) + counts
