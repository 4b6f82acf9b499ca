"""The answer at the first step at which a quantity crosses a level."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ..layer import Lowering, OperationList, Signal
from ..stepwise import Step, stepper
from .decision import Decision, first_crossing, two_sided
from .first_spike import drawn_spikes, firing_first, first_spike_log_probability
from .mean import Readout
from .membrane import MembraneReadout
from .psp import PostSynapticPotential

Quantity = Literal["potential", "probability", "sigmoid", "count", "drawn"]
QUANTITIES = ("potential", "probability", "sigmoid", "count", "drawn")


class FirstCrossingReadout(MembraneReadout):
    """Potentials u_t as of `membrane`; the answer is u at the first step at which a class crosses:

        potential:    u_{t,k} > level
        probability:  softmax(u_t)_k > level        of one output: σ(u_t) or 1 - σ(u_t)
        sigmoid:      σ(u_{t,k}) > level            as published for rank coding
        count:        Σ_{t' <= t} [u_{t',k} > 1] > level
        drawn:        a spike, at random with the probability σ(kappa (u_{t,k} - level))

    Where none ever does, it is that of the last step, undecided. Training compares the mean of the
    potentials over the steps with the target, or with the loss `rank` those of the decision: its
    step has no gradient. With `drawn` it is the logarithm of the probability that a class fires
    first, and alone: see `first_spike_log_probability`. Of several classes that fire first, the one
    with the greatest potential is the answer, in evaluation as well.

    With `psp` the potentials are u_t = scale_t W F_t, without a bias: weighted post-synaptic
    potentials F of the features, see `PostSynapticPotential`, which are not integrated again.

    Args:
        features, classes, steps, scaled, leak, learn_leak, learn_start: as of `MembraneReadout`.
        quantity: `potential`, `probability`, `sigmoid`, `count` or `drawn`.
        level: to cross; in (0, 1) for probabilities; None for 0.9, of `drawn` for 1.
        kappa: steepness of `drawn`, above 0; None for 10. The greater, the less random.
        psp: time constants of the decay and the rise of post-synaptic potentials, in steps; None
            for potentials that integrate the features.

    Attributes:
        draws: whether its answer is random.
        gives_likelihoods: whether `answer` gives logarithms of probabilities of the classes.
        stream: of its random numbers, see `asnn.coding.draws.uniforms`.

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
        level: float | None = None,
        kappa: float | None = None,
        leak: float = 1.0,
        learn_leak: bool = False,
        learn_start: bool = False,
        psp: list[float] | None = None,
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
        if quantity not in QUANTITIES:
            raise ConfigError(
                f"unknown quantity {quantity!r}", why=f"choose from {', '.join(QUANTITIES)}"
            )
        if level is None:
            level = 1.0 if quantity == "drawn" else 0.9
        if kappa is not None and (quantity != "drawn" or not kappa > 0):
            raise ConfigError(
                f"the kappa of the readout is {kappa}",
                why="it must be above 0, and only outputs that are drawn have one",
                remedy="set readout.quantity=drawn, or leave readout.kappa out",
            )
        bounds = {"probability": 1.0, "sigmoid": 1.0, "count": float(steps)}
        high = bounds.get(quantity, float("inf"))
        if not (level < high and (level >= 0 or quantity in ("potential", "drawn"))):
            raise ConfigError(
                f"the level of a {quantity} is {level}",
                why=f"it must be from 0 to below {high:g}" if high < float("inf") else "",
                remedy="set readout.level",
            )
        self.quantity = quantity
        self.level = level
        self.kappa = 10.0 if kappa is None else kappa
        self.draws = self.gives_likelihoods = quantity == "drawn"
        self.stream = 1
        self.psp: PostSynapticPotential | None = None
        if psp is not None:
            self.psp = self._potential_of_spikes(psp, features, steps)
            self.linear.register_parameter("bias", None)

    def stop_drawing(self) -> None:
        """Answer at the first potential above the level: the limit of `drawn` for large kappa."""
        self.draws = False

    def lower(self, graph: Lowering, name: str) -> None:
        if self.psp is None:
            super().lower(graph, name)
        else:
            graph.lower(f"{name}_psp", self.psp)
            Readout.lower(self, graph, name)
        options: dict[str, Any] = {"quantity": self.quantity}
        if self.quantity == "drawn":
            options = {"quantity": "potential"}
            if self.draws:
                options = {"quantity": "drawn", "kappa": self.kappa, "stream": self.stream}
        graph.answers_with("first-crossing", level=self.level, **options)

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        if self.psp is None:
            return super().list_operations(found, name, x)
        values = found.visit(f"{name}.psp", self.psp, x)
        return Readout.list_operations(self, found, name, values)

    def forward(self, spikes: Tensor) -> Tensor:
        if self.psp is None:
            return super().forward(spikes)
        return Readout.forward(self, self.psp(spikes))

    def stepper(self) -> Step:
        if self.psp is None:
            return super().stepper()
        potential, logits = stepper(self.psp), Readout.stepper(self)
        return lambda spikes: logits(potential(spikes))

    def crossed(self, outputs: Tensor) -> Tensor:
        """Return whether a class is beyond the level at each step, `[T, B]`."""
        return self._beyond(outputs).any(-1)

    def decide(self, outputs: Tensor) -> Decision:
        return self._decided(outputs)[1]

    def so_far(self, outputs: Tensor) -> Tensor:
        """Return u_t until the decision, and u at the decision from then on."""
        scores, decision = self._decided(outputs)
        steps = torch.arange(len(scores), device=scores.device).unsqueeze(1)
        index = torch.minimum(steps, decision.step.unsqueeze(0)).unsqueeze(-1).expand_as(scores)
        return scores.gather(0, index)

    def answer(self, outputs: Tensor) -> Tensor:
        if self.gives_likelihoods:
            return first_spike_log_probability(self._log_odds(outputs))
        return outputs.mean(0)

    def _potential_of_spikes(
        self, psp: list[float], features: int, steps: int
    ) -> PostSynapticPotential:
        if self.leak != 1 or self.leak_logit is not None or self.start is not None:
            raise ConfigError(
                "a readout of post-synaptic potentials has no leak and no start of its own",
                why="the potentials rise and decay with the time constants of readout.psp",
                remedy="leave out readout.leak, readout.learn_leak and readout.learn_start, or "
                "readout.psp",
            )
        if len(psp) != 2:
            raise ConfigError(
                f"psp has {len(psp)} values",
                why="it is the time constant of the decay, then that of the rise",
                remedy="set for example readout.psp=[2.0,0.5]",
            )
        return PostSynapticPotential(features, steps=steps, tau=psp[0], tau_rise=psp[1])

    def _decided(self, outputs: Tensor) -> tuple[Tensor, Decision]:
        """Return the scores of each step, `[T, B, K]`, and the decision."""
        beyond = self._beyond(outputs)
        scores = firing_first(outputs, beyond) if self.draws else outputs
        step, decided = first_crossing(beyond.any(-1))
        index = step.view(1, -1, 1).expand(1, -1, scores.shape[-1])
        return scores, Decision(scores.gather(0, index)[0], step, decided)

    def _beyond(self, outputs: Tensor) -> Tensor:
        """Return which classes are beyond the level, `[T, B, K]`; of one output, both sides."""
        if self.draws:
            return drawn_spikes(self._log_odds(outputs), self.stream)
        values = outputs
        if self.quantity == "probability":
            values = two_sided(outputs).softmax(-1)
        elif self.quantity == "sigmoid":
            values = outputs.sigmoid()
        elif self.quantity == "count":
            values = (outputs > 1).to(outputs.dtype).cumsum(0)
        return values > self.level

    def _log_odds(self, outputs: Tensor) -> Tensor:
        return self.kappa * (outputs - self.level)
