"""A leaky or pure integrator of the features."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError
from ..layer import VALUES, Lowering, OperationCounter, OperationList, Signal, count_filter
from .mean import Readout


class MembraneReadout(Readout):
    """u_t = κ u_{t-1} + scale_t (W s_t + b), u_{-1} = u_0; the answer after step t is u_t.

    κ = 1 integrates, κ < 1 forgets, κ = 0 keeps nothing: the outputs are those of `last`. A learned
    κ is kept in (0, 1) by κ = σ(logit).

    Args:
        features, classes, steps, scaled: as of `Readout`.
        leak: κ, from 0 to 1.
        learn_leak: make κ a parameter, one for each output; then 0 < κ < 1.
        learn_start: make u_0 a parameter, one for each output; otherwise it is 0.

    Raises:
        ConfigError: `leak` out of range.
    """

    answers_with_mean = False

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        steps: int,
        scaled: bool,
        leak: float = 1.0,
        learn_leak: bool = False,
        learn_start: bool = False,
    ) -> None:
        super().__init__(features, classes, steps=steps, scaled=scaled)
        if not 0 <= leak <= 1 or (learn_leak and leak in (0, 1)):
            raise ConfigError(
                f"the leak of the readout is {leak}",
                why="it must be from 0 to 1, and between them if it is learned",
                remedy="set for example readout.leak=0.95",
            )
        if leak == 0 and learn_start:
            raise ConfigError(
                "a readout with the leak 0 has no start",
                why="it keeps nothing from one step to the next",
                remedy="leave readout.learn_start out, or set readout.leak above 0",
            )
        self.leak = leak
        start = math.log(leak / (1 - leak)) if learn_leak else 0.0
        self.leak_logit = nn.Parameter(torch.full((classes,), start)) if learn_leak else None
        self.start = nn.Parameter(torch.zeros(classes)) if learn_start else None

    def forward(self, spikes: Tensor) -> Tensor:
        return self.integrated(super().forward(spikes))

    def stepper(self) -> Callable[[Tensor], Tensor]:
        logits = super().stepper()
        if not self.keeps:
            return logits
        leak = self.leak if self.leak_logit is None else self.leak_logit.sigmoid()
        u = self.start

        def step(spikes: Tensor) -> Tensor:
            nonlocal u
            u = logits(spikes) if u is None else leak * u + logits(spikes)
            return u

        return step

    @property
    def keeps(self) -> bool:
        """Whether the potential of a step is part of the next."""
        return self.leak_logit is not None or self.leak > 0

    def integrated(self, inputs: Tensor) -> Tensor:
        """Return the potentials `[T, B, K]` of inputs `[T, B, K]`."""
        if not self.keeps:
            return inputs
        leak = self.leak if self.leak_logit is None else self.leak_logit.sigmoid()
        if self.leak_logit is None and self.start is None and self.leak == 1:
            return inputs.cumsum(0)
        potentials = []
        u = 0.0 if self.start is None else self.start
        for x in inputs.unbind(0):
            u = leak * u + x
            potentials.append(u)
        return torch.stack(potentials) if potentials else torch.empty_like(inputs)  # type: ignore[arg-type]

    def lower(self, graph: Lowering, name: str) -> None:
        if not self.keeps:
            super().lower(graph, name)
            graph.answers_with("last")
            return
        super().lower(graph, f"{name}_inputs")
        leak = torch.tensor([self.leak]) if self.leak_logit is None else self.leak_logit.sigmoid()
        graph.add("Filter", name, poles=leak.unsqueeze(0), gain=torch.ones(1), start=self.start)
        graph.answers_with("last")

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        super().list_operations(found, name, x)
        if not self.keeps:
            return VALUES
        integrates = self.leak_logit is None and self.leak == 1
        operation = "ac" if integrates else "mac"
        found.add(f"{name}.membrane", "filter", self, VALUES, operation=operation)
        return VALUES

    def count_operations(self, counter: OperationCounter, x: Tensor, y: Tensor) -> None:
        count_filter(counter, y, 1)

    def so_far(self, outputs: Tensor) -> Tensor:
        return outputs

    def answer(self, outputs: Tensor) -> Tensor:
        return outputs[-1]
