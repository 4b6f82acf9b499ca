"""The answer of the output that fires first, at a real time."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ..layer import VALUES, Lowering, OperationList, Signal
from .decision import Decision
from .mean import Readout


class EarliestReadout(Readout):
    """Spike times `[1, B, K, S]` to outputs -t_k/τ `[1, B, K]`, t_k the first spike; -inf without.

    The answer is the class that fires first, at that time; where none fires there is none, and an
    evaluation counts the sample as wrong. A loss compares softmax(-min(t, loss_cap)/τ) with the
    target: a silent output counts as the cap, and so does a spike behind it, which keeps the
    gradient of its time. It has no weights: they are those of the layer before it.

    Args:
        features, classes: the number of outputs K.
        steps, scaled: not used; τ is the scale.
        tau: τ, above 0.
        loss_cap: above 0. Too short a cap teaches a network to answer by silence; too long a one
            lets a silent output of the right class cost loss_cap/τ nats.

    Raises:
        ConfigError: an option out of range.

    Source: arXiv 2003.11837.
    """

    answers_with_mean = False
    reads_times = True
    must_decide = True

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        steps: int,
        scaled: bool,
        tau: float = 0.1,
        loss_cap: float = 3.0,
    ) -> None:
        super(Readout, self).__init__()
        for key, value in {"tau": tau, "loss_cap": loss_cap}.items():
            if not 0 < value < float("inf"):
                raise ConfigError(f"{key} must be above 0 and finite, not {value}")
        if features != classes:
            raise ConfigError(
                f"the readout earliest has {classes} outputs, the layer before it {features}",
                why="it has no weights",
                remedy="choose model.name=timing-mlp or timing-conv, or another readout",
            )
        self.tau, self.loss_cap = tau, loss_cap
        self.scale = None
        self._freezes, self._frozen = False, None

    def forward(self, spikes: Tensor) -> Tensor:
        return -spikes[..., 0] / self.tau

    def so_far(self, outputs: Tensor) -> Tensor:
        """Return the outputs, finite: a silent one is as if it fired last."""
        fired = outputs.isfinite()
        least = torch.where(fired, outputs, 0).amin(-1, keepdim=True)
        last = least - self.loss_cap / self.tau
        return torch.where(fired, outputs, last)

    def answer(self, outputs: Tensor) -> Tensor:
        """Return -min(t, loss_cap)/τ `[B, K]`; its gradient is that of -t/τ also behind the cap."""
        last = -self.loss_cap / self.tau
        outputs = outputs.mean(0)
        finite = torch.where(outputs.isfinite(), outputs, last)
        return finite + (finite.clamp(min=last) - finite).detach()

    def likelihoods(self, outputs: Tensor) -> Tensor:
        return self.answer(outputs)

    def decide(self, outputs: Tensor) -> Decision:
        """Return the outputs; undecided where none fires."""
        decided = outputs[-1].isfinite().any(1)
        step = torch.zeros(outputs.shape[1], dtype=torch.int64, device=outputs.device)
        return Decision(self.so_far(outputs)[-1], step, decided)

    def decided_at(self, spikes: Tensor) -> Tensor:
        """Return when each sample is decided, `[B]`, by what `forward` reads; +inf where it is
        not."""
        return spikes[0, ..., 0].amin(1)

    def decision_times(self, outputs: Tensor) -> Tensor:
        """Return the same to rounding, by the outputs."""
        return -outputs[-1].amax(1) * self.tau

    def lower(self, graph: Lowering, name: str) -> None:
        raise graph.refused(name, self, "it has no method `lower`")

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        return VALUES

    def mean(self, spikes: Tensor) -> Tensor:
        return self.forward(spikes)[0]
