"""What drawn spikes can tell of the input, in nats, measured while the network runs."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..models.readouts.bottleneck import BottleneckReadout


class Divergence:
    """Add up the divergence of a bottleneck's spikes from those of its rate while the context is
    open, see `BottleneckReadout.divergence`: an upper bound of their information on the input.

    >>> from asnn.models import create_model
    >>> model = create_model("mlp", in_shape=(1, 2, 2), classes=2, steps=3, readout="bottleneck")
    >>> with Divergence(model) as divergence, torch.no_grad():
    ...     _ = model(torch.zeros(5, 1, 2, 2))
    >>> list(divergence.by_layer())
    ['readout.spikes']
    """

    def __init__(self, model: nn.Module) -> None:
        self._readouts = {
            f"{name.removeprefix('body.')}.spikes": part
            for name, part in model.named_modules()
            if isinstance(part, BottleneckReadout) and part.neuron.draws
        }
        self._sums: dict[str, Tensor] = {}  # of nats, and of samples
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Divergence:
        for name, readout in self._readouts.items():
            observe = self._observer(name, readout)
            self._handles.append(readout.neuron.register_forward_hook(observe))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def all_reduce(self, sum_over_processes: Callable[[Tensor], Tensor]) -> None:
        """Add the sums of all processes; every process must call it."""
        for name in self._readouts:
            sums = self._sums.get(name, torch.zeros(2, dtype=torch.float64))
            self._sums[name] = sum_over_processes(sums)

    def by_layer(self) -> dict[str, float]:
        """Return the mean over samples of each layer that has run, in nats."""
        return {name: float(nats / count) for name, (nats, count) in self._sums.items() if count}

    def _observer(self, name: str, readout: BottleneckReadout) -> Callable[..., None]:
        def observe(_: Any, inputs: tuple[Tensor], spikes: Tensor) -> None:
            with torch.no_grad():
                nats = readout.divergence(readout.neuron.log_odds(inputs[0], spikes))
            found = torch.tensor([float(nats.sum(dtype=torch.float64)), nats.shape[1]]).double()
            self._sums[name] = self._sums.get(name, torch.zeros_like(found)) + found

        return observe
