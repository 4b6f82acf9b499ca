"""The loss of spike counts."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import one_hot


def count_loss(
    logits: Tensor,
    target: Tensor,
    label_smoothing: float,
    answer: Callable[[Tensor], Tensor],
    class_weights: Tensor | None = None,
    counts: tuple[float, float] = (15.0, 3.0),
) -> Tensor:
    """Return 1/B Σ_b ½ Σ_k (c_k - n_k)², with n the spikes of each output.

    c is the first of `counts` for the class of the target, the second for the others. With label
    smoothing ε, the part ε/K of the difference is spread over all classes.

    Args:
        logits, target, label_smoothing, class_weights: as of `mean_loss`.
        answer: numbers of spikes, `[T, B, classes] -> [B, classes]`.
        counts: of the target's class, and of the others.

    Source: the loss by counts of Bacho and Chu, arXiv 2211.16113, as in the published code.
    """
    found = answer(logits)
    classes = found.shape[1]
    share = one_hot(target, classes).to(found.dtype)
    share = (1 - label_smoothing) * share + label_smoothing / classes
    wanted = counts[1] + (counts[0] - counts[1]) * share
    losses = 0.5 * (wanted - found).square().sum(1)
    if class_weights is not None:
        losses = class_weights.to(losses.device)[target] * losses
    return losses.mean()
