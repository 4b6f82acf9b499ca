"""Losses of logits for each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor
from torch.nn.functional import cross_entropy

from ..datasets.mixing import Targets

LossName = Literal["mean", "tet"]

# Losses that need no more than the mean of the logits over the steps, which costs less.
OF_THE_MEAN = frozenset({"mean"})


def mean_loss(logits: Tensor, target: Tensor, label_smoothing: float) -> Tensor:
    """Return the cross-entropy of the mean over steps: CE(1/T Σ_t logits_t, y).

    Args:
        logits: `[T, B, classes]`.
        target: `[B]`.
        label_smoothing: share of the target that is spread over all classes.
    """
    return cross_entropy(logits.mean(0), target, label_smoothing=label_smoothing)


def tet_loss(logits: Tensor, target: Tensor, label_smoothing: float) -> Tensor:
    """Return the mean of the cross-entropies of the steps: 1/T Σ_t CE(logits_t, y).

    Source: temporal efficient training, Deng et al., ICLR 2022, without its regulariser.
    """
    steps = logits.shape[0]
    return cross_entropy(
        logits.flatten(0, 1), target.repeat(steps), label_smoothing=label_smoothing
    )


LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "mean": mean_loss,
    "tet": tet_loss,
}


def loss_of(name: str, logits: Tensor, targets: Targets, label_smoothing: float = 0.0) -> Tensor:
    """Return the loss called `name`; of mixed images, weighted over both targets.

    λ loss(y_1) + (1 - λ) loss(y_2), with λ the weight of the first image.
    """
    loss = LOSSES[name]
    first = loss(logits.float(), targets.first, label_smoothing)
    if targets.weight == 1:
        return first
    second = loss(logits.float(), targets.second, label_smoothing)
    return targets.weight * first + (1 - targets.weight) * second
