"""When a network has decided: the first step at which something crosses a level."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Decision(NamedTuple):
    """The answer for each of B samples.

    Attributes:
        scores: of the classes or outputs, `[B, K]`.
        step: at which it was decided, from 0, int64 `[B]`; the last step if it never was.
        decided: whether it was decided, `[B]`; false is not the same as step 0.
    """

    scores: Tensor
    step: Tensor
    decided: Tensor


def running_mean(outputs: Tensor) -> Tensor:
    """Return the mean over the steps 1..t, for each t: `[T, B, ...]`."""
    counts = torch.arange(1, len(outputs) + 1, device=outputs.device)
    return outputs.cumsum(0) / counts.view(-1, *[1] * (outputs.dim() - 1))


def two_sided(logits: Tensor) -> Tensor:
    """Return logits `[..., K]` of K >= 2 classes as they are, of one output o as (0, o): the
    probabilities of the two sides are then 1 - σ(o) and σ(o)."""
    if logits.shape[-1] != 1:
        return logits
    return torch.cat([torch.zeros_like(logits), logits], -1)


def confident(so_far: Tensor, threshold: float) -> Decision:
    """Return the answers of the first step at which the probability of a class is at least
    `threshold`, or of the last step.

    Args:
        so_far: the answers after each step, `[T, B, K]`.
        threshold: of the softmax of an answer.
    """
    step, decided = first_crossing(so_far.softmax(2).amax(2) >= threshold)
    return Decision(so_far[step, torch.arange(len(step), device=step.device)], step, decided)


def first_crossing(crossed: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first step at which each sample has crossed a level, and whether it ever has.

    Args:
        crossed: `[T, N]`, true where it is beyond the level.

    Returns:
        The step from 0, the last one where a sample never crosses, int64 `[N]`; and a mask `[N]`.

    >>> first_crossing(torch.tensor([[False, True], [True, True], [False, False], [False, False]]))
    (tensor([1, 0]), tensor([True, True]))
    """
    decided = crossed.any(0)
    first = crossed.int().argmax(0)  # 0 also where nothing is true
    return torch.where(decided, first, len(crossed) - 1), decided
