"""The interface of a synapse."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ...kernels import operators as operators  # registers them
from ...kernels.dispatch import Kernels, backend, is_traced, needs_aten
from ...kernels.filters import fused_filter, missing_filter
from ..layer import (
    VALUES,
    Layer,
    Lowering,
    OperationCounter,
    OperationList,
    Signal,
    count_filter,
)
from .filters import per_channel, pole_filter


class Synapse(Layer):
    """A filter over time: `[T, B, C, ...]` to values `[T, B, outputs, ...]`, from rest.

    It stands in front of an affine layer, and keeps no state between two calls. What follows it
    reads values, not spikes, at every step.

    Args:
        channels: C, the axis after the batch.
        steps: number of time steps T.
    """

    def __init__(self, channels: int, *, steps: int) -> None:
        super().__init__()
        self.channels = channels
        self.steps = steps

    @property
    def outputs(self) -> int:
        """Number of channels that it sends: C, unless it has several filters for each."""
        return self.channels

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class PoleSynapse(Synapse):
    """A filter with P poles: F^0_t = gain x_t, F^p_t = pole_p F^p_{t-1} + F^{p-1}_t, output F^P_t.

    A subclass has its poles and its gain, and is exported and counted by them: one multiplication
    and one addition for each pole, value and step.

    Attributes:
        kernels: which kernels to use; `asnn.models.use_kernels` sets it.
    """

    kernels: Kernels = "auto"

    @property
    def poles(self) -> Tensor:
        """`[P, C]`, in (0, 1)."""
        raise NotImplementedError

    @property
    def gain(self) -> Tensor | None:
        """`[C]`; None for 1."""
        return None

    def forward(self, x: Tensor) -> Tensor:
        """Return the filtered values, by one pass over all steps where there is a kernel.

        States are float32, or float64 with float64 input; values have the dtype of the input.

        Raises:
            ConfigError: `kernels` is `fused`, and there is none.
        """
        dtype = x.dtype if x.dtype == torch.float64 else torch.float32
        poles, gain = self.poles.to(dtype), self.gain
        gain = None if gain is None else gain.to(dtype)
        if not self._is_fusible(x):
            return pole_filter(x.to(dtype), poles, gain).to(x.dtype)
        rows = x.movedim(2, -1)
        poles = poles.expand(-1, x.shape[2])  # the kernels read what is there
        gain = None if gain is None else gain.expand(x.shape[2])
        kernels = None if is_traced(x) else backend(x.device.type)
        y = fused_filter(rows.contiguous().flatten(1, -2), poles, gain, kernels)
        return y.view(rows.shape).movedim(-1, 2)

    def _is_fusible(self, x: Tensor) -> bool:
        if self.kernels == "reference":
            return False
        why = missing_filter(x.device.type, x.dtype)
        if why is None and needs_aten():
            why = "torch records a graph of its own operators only"
        if why is not None and self.kernels == "fused":
            raise ConfigError(
                "the fused kernels cannot compute this synapse",
                why=why,
                remedy="use kernels 'auto', which takes the reference there",
            )
        return why is None

    def stepper(self) -> Callable[[Tensor], Tensor]:
        poles, gain = self.poles, self.gain
        states: list[Tensor] | None = None

        def step(x: Tensor) -> Tensor:
            nonlocal states
            batched = x.unsqueeze(0)
            y = x if gain is None else per_channel(gain.to(x.dtype), batched) * x
            before, states = states, []
            for p, pole in enumerate(poles.to(x.dtype)):
                y = y if before is None else per_channel(pole, batched) * before[p] + y
                states.append(y.detach())
            return y

        return step

    def lower(self, graph: Lowering, name: str) -> None:
        gain = self.gain
        graph.add("Filter", name, poles=self.poles, gain=torch.ones(1) if gain is None else gain)

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        found.add(name, "filter", self, x, operation="mac")
        return VALUES

    def count_operations(self, counter: OperationCounter, x: Tensor, y: Tensor) -> None:
        count_filter(counter, x, len(self.poles))
