"""Losses of the logits of all steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import kl_div, mse_loss, nll_loss

from ..core.errors import ConfigError
from ..datasets.transforms.mixing import Targets
from .count_loss import count_loss
from .rank_loss import entropy, published_rank_loss, rank_loss
from .van_rossum import van_rossum_loss
from .weighting import weighted_cross_entropy

LossName = Literal["mean", "tet", "first-spike", "rank", "rank-published", "van-rossum", "count"]

# Losses that need only the mean of the logits over the steps, which is cheaper to compute.
MEAN_LOSSES = frozenset({"mean"})

# Losses of the outputs at the step of the decision, and the quantity whose first crossing it is.
DECISION_LOSSES = {"rank": "probability", "rank-published": "sigmoid"}


Answer = Callable[[Tensor], Tensor]


def mean_over_steps(logits: Tensor) -> Tensor:
    """Return the mean over steps, `[T, B, K] -> [B, K]`."""
    return logits.mean(0)


def mean_loss(
    logits: Tensor,
    target: Tensor,
    label_smoothing: float,
    answer: Answer = mean_over_steps,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Return the cross-entropy of the answer, by default the mean over steps:
    CE(1/T Σ_t logits_t, y).

    Args:
        logits: `[T, B, classes]`.
        target: `[B]`.
        label_smoothing: part of the target that is spread over all classes.
        answer: of the readout, `[T, B, classes] -> [B, classes]`.
        class_weights: see `weighted_cross_entropy`.
    """
    return weighted_cross_entropy(answer(logits), target, label_smoothing, class_weights)


def tet_loss(
    logits: Tensor,
    target: Tensor,
    label_smoothing: float,
    answer: Answer = mean_over_steps,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Return the mean of the cross-entropies of the steps: 1/T Σ_t CE(logits_t, y).

    Source: temporal efficient training, Deng et al., ICLR 2022 (arXiv 2202.11946), equation 9.
    """
    steps = logits.shape[0]
    return weighted_cross_entropy(
        logits.flatten(0, 1), target.repeat(steps), label_smoothing, class_weights
    )


def first_spike_loss(
    logits: Tensor,
    target: Tensor,
    label_smoothing: float,
    answer: Answer = mean_over_steps,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Return 1/B Σ_b -log P_b(y_b): how unlikely it is that the class of the target fires first.

    Two classes that fire first together, and silence, are failures: their probabilities are part of
    no class. With label smoothing ε, -log P(y) becomes (1 - ε) (-log P(y)) + ε/K Σ_k -log P(k).

    Args:
        logits, target, label_smoothing, class_weights: as of `mean_loss`.
        answer: of a readout that gives log P, `[T, B, classes] -> [B, classes]`.

    Source: Bagheri, Simeone and Rajendran, arXiv 1710.10704.
    """
    log_p = answer(logits)
    losses = nll_loss(log_p, target, reduction="none")
    if label_smoothing:
        losses = (1 - label_smoothing) * losses - label_smoothing * log_p.mean(1)
    if class_weights is not None:
        losses = class_weights.to(losses.device)[target] * losses
    return losses.mean()


LOSSES: dict[str, Callable[..., Tensor]] = {
    "mean": mean_loss,
    "tet": tet_loss,
    "first-spike": first_spike_loss,
    "rank": rank_loss,
    "rank-published": published_rank_loss,
    "van-rossum": van_rossum_loss,
    "count": count_loss,
}


@dataclass(frozen=True)
class Loss:
    """The training loss.

        L = (1 - λ) L_labels + λ 1/(T B K) Σ_t,b,k (logits_t,b,k - φ)²

    with L_labels the loss called `name`, of `rank` minus β H of the decision, see `entropy`. Mixed
    images have two targets: m L_labels(y_1) + (1 - m) L_labels(y_2), with m the weight of the first
    image. The second term bounds the logits of single steps.

    Args:
        name: `mean`, `tet`, `first-spike`, `rank`, `rank-published`, `van-rossum` or `count`.
        label_smoothing: part of the target that is spread over all classes.
        tet_lambda: λ, in [0, 1]; with `tet` only.
        tet_phi: φ, the threshold of the neurons in the paper.
        class_weights: w, `[K]`, see `weighted_cross_entropy`; None for 1.
        entropy: β of `rank`: how much an uncertain decision is rewarded.
        counts: of `count`: how many spikes the output of the target is to have, and the others.

    Raises:
        ConfigError: λ without `tet`, β without `rank`, or counts without `count`.

    Source: Deng et al., ICLR 2022 (arXiv 2202.11946), equations 12 and 13.
    """

    name: LossName = "mean"
    label_smoothing: float = 0.0
    tet_lambda: float = 0.0
    tet_phi: float = 1.0
    class_weights: Tensor | None = field(default=None, compare=False)
    entropy: float = 0.0
    counts: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.tet_lambda and self.name != "tet":
            raise ConfigError(
                f"tet_lambda is {self.tet_lambda}, the loss is {self.name!r}",
                why="the regularizer belongs to the loss of single steps",
                remedy="set train.loss=tet, or leave train.tet_lambda out",
            )
        if self.entropy and self.name != "rank":
            raise ConfigError(
                f"entropy is {self.entropy}, the loss is {self.name!r}",
                why="it is the entropy of the decision, which the loss rank is of",
                remedy="set train.loss=rank, or leave train.entropy out",
            )
        if self.counts is not None and self.name != "count":
            raise ConfigError(
                f"counts is {list(self.counts)}, the loss is {self.name!r}",
                why="they are the numbers of spikes that the loss count teaches",
                remedy="set train.loss=count, or leave train.counts out",
            )

    def __call__(
        self, logits: Tensor, targets: Targets, answer: Answer = mean_over_steps
    ) -> Tensor:
        """Return the loss of logits `[T, B, K]` for the targets of B samples."""
        logits = logits.float()
        loss = self._of_labels(logits, targets.first, answer)
        if targets.weight != 1:
            second = self._of_labels(logits, targets.second, answer)
            loss = targets.weight * loss + (1 - targets.weight) * second
        if self.entropy:
            loss = loss - self.entropy * entropy(answer(logits))
        if not self.tet_lambda:
            return loss
        regularizer = mse_loss(logits, torch.full_like(logits, self.tet_phi))
        return (1 - self.tet_lambda) * loss + self.tet_lambda * regularizer

    def _of_labels(self, logits: Tensor, target: Tensor, answer: Answer) -> Tensor:
        smoothing, weights = self.label_smoothing, self.class_weights
        options = {} if self.counts is None else {"counts": self.counts}
        return LOSSES[self.name](logits, target, smoothing, answer, weights, **options)


def distillation_loss(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Return τ² KL(teacher ‖ student), the mean over the steps of the student:

        τ² 1/T Σ_t 1/B Σ_b Σ_k p_b,k (log p_b,k - log q_t,b,k)
        p_b = softmax(teacher_b / τ)        q_t,b = softmax(logits_t,b / τ)

    τ² compensates for gradients proportional to 1/τ².

    Args:
        logits: of the student, `[T, B, K]`.
        teacher_logits: `[B, K]`, the same for each step of the student.
        temperature: τ > 0.

    Source: Hinton et al., arXiv 1503.02531, for each step of the student.
    """
    p = (teacher_logits.float() / temperature).log_softmax(-1).expand(logits.shape)
    q = (logits.float() / temperature).log_softmax(-1)
    kl = kl_div(q.flatten(0, 1), p.flatten(0, 1), reduction="batchmean", log_target=True)
    return temperature**2 * kl
