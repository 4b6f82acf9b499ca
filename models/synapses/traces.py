"""Synapses with several time constants: each input has a trace, and a weight, for each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError
from ..layer import VALUES, Lowering, OperationCounter, OperationList, Signal, count_filter
from .base import PoleSynapse
from .exponential import logits

TAUS = (3.0, 10.0, 30.0, 100.0)


class Traces(PoleSynapse):
    """F^k_t = p_k F^k_{t-1} + (1 - p_k) s_t for each time constant: `[T, B, C] -> [T, B, K C]`.

    Traces stay between 0 and the largest input, whatever their time constant, and those of the
    first time constant come first.

    Args:
        channels: C.
        steps: ignored.
        tau: of the K start values p = e^{-1/τ}, in steps.
        learn: make p a parameter for each trace.

    Raises:
        ConfigError: a time constant is not positive and finite, or there is none.

    Source: arXiv 2010.14217, where neurons have traces as basis functions of their inputs.
    """

    def __init__(
        self, channels: int, *, steps: int, tau: list[float] | None = None, learn: bool = False
    ) -> None:
        super().__init__(channels, steps=steps)
        taus: Sequence[float] = TAUS if tau is None else tau
        if not taus:
            raise ConfigError("tau is empty", remedy="give a time constant for each trace")
        self.traces = len(taus)
        start = torch.cat([logits(channels, each) for each in taus])
        self.logit = nn.Parameter(start, requires_grad=learn)

    @property
    def outputs(self) -> int:
        return self.traces * self.channels

    @property
    def poles(self) -> Tensor:
        """p, `[1, K C]`."""
        return self.logit.sigmoid().unsqueeze(0)

    @property
    def gain(self) -> Tensor:
        """1 - p, `[K C]`."""
        return (-self.logit).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.cat([x] * self.traces, 2))

    def stepper(self) -> Callable[[Tensor], Tensor]:
        step = super().stepper()
        return lambda x: step(torch.cat([x] * self.traces, 1))

    def lower(self, graph: Lowering, name: str) -> None:
        copies = torch.eye(self.channels).repeat(self.traces, 1)
        graph.add(
            "Linear",
            f"{name}_copies",
            weights=(copies.numpy(),),
            biases=(torch.zeros(len(copies)).numpy(),),
            of_step=(0,) * graph.steps,
        )
        super().lower(graph, name)

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        found.add(name, "filter", self, x, operation="mac")
        return VALUES

    def count_operations(self, counter: OperationCounter, x: Tensor, y: Tensor) -> None:
        count_filter(counter, x, 2 * self.traces)  # pole and gain of each
