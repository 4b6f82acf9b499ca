"""Losses of rank coding: only the outputs at the step of the decision are taught.

    t* = the first step at which a class is beyond the level, the last one if none ever is
    L = CE(o_{t*}, y) - β H(q_{t*})

t* is a constant for the gradient: steps after it receive none, and those before it receive what
reaches them through the states of the network.

Source: Jeffares, Guo, Stenetorp and Moraitis, ICLR 2022 (arXiv 2110.02865): the rule. The
abstract names the entropy without an equation; its form here is ours.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..models.readouts.decision import two_sided
from .weighting import weighted_cross_entropy


def rank_loss(
    logits: Tensor,
    target: Tensor,
    label_smoothing: float,
    answer: Callable[[Tensor], Tensor],
    class_weights: Tensor | None = None,
) -> Tensor:
    """Return the cross-entropy of the outputs at the decision, CE(o_{t*}, y).

    Of one output o they are those of two classes, (0, o).

    Args:
        logits, target, label_smoothing, class_weights: as of `mean_loss`.
        answer: the outputs at the decision, `[T, B, classes] -> [B, classes]`.
    """
    decided = two_sided(answer(logits))
    return weighted_cross_entropy(decided, target, label_smoothing, class_weights)


def published_rank_loss(
    logits: Tensor,
    target: Tensor,
    label_smoothing: float,
    answer: Callable[[Tensor], Tensor],
    class_weights: Tensor | None = None,
) -> Tensor:
    """Return CE(σ(o_{t*}), y), for comparison: the sigmoids stand for logits, as published.

    They are in (0, 1), so with K classes the loss cannot fall below log(1 + (K - 1)/e): 1.46 of 10
    classes. One output has no such loss: σ(o) alone is no distribution.

    Args:
        logits, target, label_smoothing, answer, class_weights: as of `rank_loss`.

    Source: github.com/NeuromorphicComputing/RankCoding.
    """
    decided = answer(logits).sigmoid()
    return weighted_cross_entropy(decided, target, label_smoothing, class_weights)


def entropy(logits: Tensor) -> Tensor:
    """Return 1/B Σ_b H(q_b), H(q) = -Σ_k q_k log q_k with q = softmax(logits), `[B, K]`."""
    log_q = two_sided(logits).log_softmax(-1)
    return -(log_q.exp() * log_q).sum(-1).mean()
