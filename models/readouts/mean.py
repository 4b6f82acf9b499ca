"""The mean of the logits over the steps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from ..layer import VALUES, Layer, Lowering, OperationList, Signal
from .decision import Decision, running_mean


class Readout(Layer):
    """logits_t = scale_t (W s_t + b): spikes `[T, B, F]` to logits of each step `[T, B, K]`.

    The answer after step t is the mean of the logits of the steps 1..t. Other readouts are
    subclasses: they say what the outputs of each step are (`forward`), what they answer after each
    step (`so_far`) and in the end (`decide`), and what a loss compares with the target (`answer`).

    Args:
        features: F.
        classes: K.
        steps: number of time steps T.
        scaled: give each step a learnable scale, starting at 1.
    """

    answers_with_mean: bool = True
    """Whether `mean` computes the answer of all steps from the features, without the outputs of the
    single steps; by default where it is their mean."""
    gives_likelihoods: bool = False
    """Whether `answer` gives log-probabilities, which need not add up to 1 over the classes."""
    reads_times: bool = False
    """Whether its inputs are exact spike times, instead of steps."""
    answers_with_counts: bool = False
    """Whether `answer` gives numbers of spikes."""
    must_decide: bool = False
    """Whether a sample that is not decided has no answer, and counts as wrong."""
    only_for: ClassVar[str | None] = None
    """The task that its outputs are for; None for all tasks of outputs `[T, B, K]`."""
    answers_of: ClassVar = {"lower": ("forward", "so_far", "decide", "crossed")}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # `mean` is a shortcut of these; a subclass may say that it still is.
        changed = {"forward", "so_far", "decide"} & {*vars(cls)}
        if changed and not {"mean", "answers_with_mean"} & {*vars(cls)}:
            cls.answers_with_mean = False

    def __init__(self, features: int, classes: int, *, steps: int, scaled: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes)
        self.scale = nn.Parameter(torch.ones(steps)) if scaled else None
        self._freezes = False
        self._frozen: tuple[int, Tensor, Tensor | None] | None = None

    def lower(self, graph: Lowering, name: str) -> None:
        scale = torch.ones(graph.steps) if self.scale is None else self.scale
        weight, bias = self.linear.weight, self.linear.bias
        if bias is None:
            bias = weight.new_zeros(len(weight))
        graph.add("Readout", name, weight=weight, bias=bias, scale=scale)
        graph.answers_with("mean")

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        found.visit(name, self.linear, x)
        return VALUES

    def freeze(self) -> None:
        """Cache the scales of `mean`, from the next call without gradients on.

        A readout cannot be unfrozen.
        """
        self._freezes = True

    def forward(self, spikes: Tensor) -> Tensor:
        logits = self.linear(spikes)
        if self.scale is None:
            return logits
        return logits * self.scale[: logits.shape[0]].view(-1, 1, 1)

    def stepper(self) -> Callable[[Tensor], Tensor]:
        times = count()

        def step(spikes: Tensor) -> Tensor:
            t, logits = next(times), self.linear(spikes)
            return logits if self.scale is None else logits * self.scale[t]

        return step

    def so_far(self, outputs: Tensor) -> Tensor:
        """Return the answer after each step, `[T, B, K]`, of outputs `[T, B, K]`."""
        return running_mean(outputs)

    def answer(self, outputs: Tensor) -> Tensor:
        """Return what a loss compares with the target, `[B, K]`: a differentiable answer."""
        return outputs.mean(0)

    def likelihoods(self, outputs: Tensor) -> Tensor:
        """Return the answer in the end `[B, K]` whose cross-entropy an evaluation gives."""
        return self.so_far(outputs)[-1]

    def decide(self, outputs: Tensor) -> Decision:
        """Return the answer in the end; it is that of the last step."""
        batch, last = outputs.shape[1], len(outputs) - 1
        step = torch.full((batch,), last, device=outputs.device)
        decided = torch.ones(batch, dtype=torch.bool, device=outputs.device)
        return Decision(self.so_far(outputs)[-1], step, decided)

    def mean(self, spikes: Tensor) -> Tensor:
        """Return the mean of the logits over the steps, `[B, K]`.

        The readout is linear, so the mean of the spikes is taken before it:
        1/T Σ_t scale_t (W s_t + b) = W (1/T Σ_t scale_t s_t) + b (1/T Σ_t scale_t).
        """
        if self.scale is None:
            return self.linear(spikes.mean(0))
        step_weights, bias = self._step_weights(len(spikes))
        average = (step_weights.to(spikes.dtype) @ spikes.flatten(1)).view(spikes.shape[1:])
        return linear(average, self.linear.weight, bias)

    def _step_weights(self, steps: int) -> tuple[Tensor, Tensor | None]:
        """Return scale_t / T of the first steps, and the bias times their sum."""
        cached = self._frozen  # read once: another thread may write it
        if cached is not None and cached[0] == steps:
            return cached[1:]
        assert self.scale is not None
        scale = self.scale if steps == len(self.scale) else self.scale[:steps]
        step_weights = scale / steps
        bias = self.linear.bias
        found = step_weights, None if bias is None else bias * step_weights.sum()
        if self._freezes and not torch.is_grad_enabled():
            self._frozen = (steps, *found)
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_frozen": None}
