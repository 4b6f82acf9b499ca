"""The answer at the first step at which a quantity crosses a level."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ..layer import Lowering
from .decision import Decision, first_crossing
from .membrane import MembraneReadout

Quantity = Literal["potential", "probability", "count"]


class FirstCrossingReadout(MembraneReadout):
    """Potentials u_t as of `membrane`; the answer is u at the first step at which a class crosses:

        potential:    u_{t,k} > level
        probability:  softmax(u_t)_k > level
        count:        Σ_{t' <= t} [u_{t',k} > 1] > level

    Where none ever does, it is that of the last step, undecided. Training compares the mean of the
    potentials over the steps with the target: the step of the decision has no gradient.

    Args:
        features, classes, steps, scaled, leak, learn_leak, learn_start: as of `MembraneReadout`.
        quantity: `potential`, `probability` or `count`.
        level: to cross; in (0, 1) for probabilities.

    Raises:
        ConfigError: an unknown quantity, or a level that nothing or everything crosses.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        steps: int,
        scaled: bool,
        quantity: Quantity = "probability",
        level: float = 0.9,
        leak: float = 1.0,
        learn_leak: bool = False,
        learn_start: bool = False,
    ) -> None:
        super().__init__(
            features,
            classes,
            steps=steps,
            scaled=scaled,
            leak=leak,
            learn_leak=learn_leak,
            learn_start=learn_start,
        )
        if quantity not in ("potential", "probability", "count"):
            raise ConfigError(
                f"unknown quantity {quantity!r}", why="choose from potential, probability, count"
            )
        high = {"probability": 1.0, "count": float(steps)}.get(quantity, float("inf"))
        if not (level < high and (level >= 0 or quantity == "potential")):
            raise ConfigError(
                f"the level of a {quantity} is {level}",
                why=f"it must be from 0 to below {high:g}" if high < float("inf") else "",
                remedy="set readout.level",
            )
        self.quantity = quantity
        self.level = level

    def lower(self, graph: Lowering, name: str) -> None:
        super().lower(graph, name)
        graph.answers_with("first-crossing", quantity=self.quantity, level=self.level)

    def crossed(self, outputs: Tensor) -> Tensor:
        """Return whether a class is beyond the level at each step, `[T, B]`."""
        if self.quantity == "probability":
            values = outputs.softmax(-1)
        elif self.quantity == "count":
            values = (outputs > 1).to(outputs.dtype).cumsum(0)
        else:
            values = outputs
        return (values > self.level).any(-1)

    def decide(self, outputs: Tensor) -> Decision:
        step, decided = first_crossing(self.crossed(outputs))
        index = step.view(1, -1, 1).expand(1, -1, outputs.shape[-1])
        return Decision(outputs.gather(0, index)[0], step, decided)

    def so_far(self, outputs: Tensor) -> Tensor:
        """Return u_t until the decision, and u at the decision from then on."""
        step = self.decide(outputs).step
        steps = torch.arange(len(outputs), device=outputs.device).unsqueeze(1)
        index = torch.minimum(steps, step.unsqueeze(0)).unsqueeze(-1).expand_as(outputs)
        return outputs.gather(0, index)

    def answer(self, outputs: Tensor) -> Tensor:
        return outputs.mean(0)
