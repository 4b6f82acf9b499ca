"""The cross-entropy whose samples weigh by their class."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy


def weighted_cross_entropy(
    logits: Tensor, target: Tensor, label_smoothing: float, class_weights: Tensor | None
) -> Tensor:
    """Return 1/B Σ_b w_{y_b} CE(logits_b, y_b).

    The whole loss of a sample has the weight of its class, also the part that label smoothing
    spreads. It is divided by B, not by Σ_b w_{y_b} as in torch: a sum over batches, steps of
    accumulation or processes then weighs all samples of a class the same.

    Args:
        logits: `[B, K]`.
        target: `[B]`.
        label_smoothing: part of the target that is spread over all classes.
        class_weights: w, `[K]`; None for 1.
    """
    if class_weights is None:
        return cross_entropy(logits, target, label_smoothing=label_smoothing)
    losses = cross_entropy(logits, target, label_smoothing=label_smoothing, reduction="none")
    return (class_weights.to(logits.device)[target] * losses).mean()
