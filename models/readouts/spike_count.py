"""The answer of the output with the most spikes, at exact times."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ..layer import VALUES, Lowering, OperationList, Signal
from .decision import Decision
from .mean import Readout


class SpikeCountReadout(Readout):
    """Spike times `[1, B, K, S]` to numbers of spikes n_k `[1, B, K]`.

    The answer is the class of the most spikes, of equal ones the first; where no output fires there
    is none, and an evaluation counts the sample as wrong.

    A number of spikes has no gradient: it does not change under small moves. In its place stands a
    push, ∂n_k/∂t_m := -1 for each own spike m: spikes that should be more are moved to earlier
    times, where others may follow. It has no weights: they are those of the layer before it.

    Args:
        features, classes: the number of outputs K.
        steps, scaled: not used.

    Raises:
        ConfigError: the layer before it has another number of outputs.

    Source: the loss by counts of Bacho and Chu, arXiv 2211.16113, as in the published code.
    """

    answers_with_mean = False
    reads_times = True
    answers_with_counts = True
    must_decide = True

    def __init__(self, features: int, classes: int, *, steps: int, scaled: bool) -> None:
        super(Readout, self).__init__()
        if features != classes:
            raise ConfigError(
                f"the readout spike-count has {classes} outputs, the layer before it {features}",
                why="it has no weights",
                remedy="choose model.name=timing-mlp or timing-conv, or another readout",
            )
        self.scale = None
        self._freezes, self._frozen = False, None

    def forward(self, spikes: Tensor) -> Tensor:
        return _Count.apply(spikes)  # type: ignore[return-value]

    def so_far(self, outputs: Tensor) -> Tensor:
        return outputs

    def decide(self, outputs: Tensor) -> Decision:
        """Return the numbers of spikes; undecided where there are none."""
        decided = outputs[-1].amax(1) > 0
        step = torch.zeros(outputs.shape[1], dtype=torch.int64, device=outputs.device)
        return Decision(outputs[-1], step, decided)

    def lower(self, graph: Lowering, name: str) -> None:
        graph.add("SpikeCount", name)
        graph.answers_with("mean")

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        return VALUES

    def mean(self, spikes: Tensor) -> Tensor:
        return self.forward(spikes)[0]


class _Count(torch.autograd.Function):
    """The number of times `[..., S]` that are finite, with the push in place of a gradient."""

    @staticmethod
    def forward(ctx: Any, times: Tensor) -> Tensor:
        fired = times.isfinite()
        ctx.save_for_backward(fired)
        return fired.sum(-1).to(times.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (fired,) = ctx.saved_tensors
        return torch.where(fired, -grads[0].unsqueeze(-1), 0.0)
