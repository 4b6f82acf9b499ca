"""The van Rossum loss: spike trains that are compared behind a filter."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import one_hot

from ..core.errors import ConfigError
from ..models.readouts import Readout
from ..models.synapses.filters import pole_filter

TAU, TAU_RISE = 4.0, 1.0  # steps


def van_rossum_errors(outputs: Tensor, target: Tensor) -> Tensor:
    """Return the squared difference of two trains behind the same filter, `[T, B, K]`:

        (F_t(o) - F_t(y))²        F_t(s) = (p + q) F_{t-1}(s) - p q F_{t-2}(s) + (p - q) s_t

    with p = e^{-1/4} and q = e^{-1}, the start values of `dual-exp`. The filter is linear: it
    filters the difference once.

    Args:
        outputs, target: o and y, `[T, B, K]`.

    Source: arXiv 2003.02944; van Rossum, Neural Computation 13 (2001), with one exponential.
    """
    p, q = math.exp(-1 / TAU), math.exp(-1 / TAU_RISE)
    poles = outputs.new_tensor([[q], [p]]).expand(2, outputs.shape[2])
    difference = outputs - target.to(outputs.dtype)
    return pole_filter(difference, poles, poles[1] - poles[0]).square()


def van_rossum_loss(
    logits: Tensor,
    target: Tensor,
    label_smoothing: float,
    answer: Callable[[Tensor], Tensor],
    class_weights: Tensor | None = None,
) -> Tensor:
    """Return the mean over B, K and T of the errors of the output trains: the class of the target
    is to fire at every step, the others never.

    With label smoothing ε a target train is (1 - ε) y + ε/K at every step.

    Args:
        logits: output trains, `[T, B, classes]`.
        target, label_smoothing, class_weights: as of `mean_loss`.
        answer: not used: all steps are compared.
    """
    classes = logits.shape[2]
    train = one_hot(target, classes).to(logits.dtype)
    train = (1 - label_smoothing) * train + label_smoothing / classes
    losses = van_rossum_errors(logits, train.expand(logits.shape)).mean((0, 2))
    if class_weights is not None:
        losses = class_weights.to(losses.device)[target] * losses
    return losses.mean()


def require_spike_trains(readout: Readout, key: str) -> None:
    """Refuse a readout whose outputs are values.

    Raises:
        ConfigError: with what to do.
    """
    if not getattr(readout, "sends_spikes", False):
        raise ConfigError(
            "the loss van-rossum needs a readout whose outputs are spikes",
            why="it compares spike trains",
            remedy=f"set readout.name=spikes, or another {key}",
        )
