"""The losses of local tandem learning: of each layer, and of a readout that decides early."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import mse_loss, relu

from ....datasets.transforms.mixing import Targets
from ....models.readouts import Decision


def layer_loss(
    means: Mapping[str, Tensor], activations: Mapping[str, Tensor], gain: float
) -> Tensor:
    """Return Σ_l of the mean squares of S_l - g A_l, over samples and neurons.

    Args:
        means: S_l, the mean output of each layer over the steps, `[B, C, ...]`.
        activations: A_l, those of the ANN, of the same names and shapes.
        gain: g.
    """
    losses = [mse_loss(mean.float(), gain * activations[name]) for name, mean in means.items()]
    return torch.stack(losses).sum()


def early_loss(
    decision: Decision,
    last: Tensor,
    targets: Targets,
    *,
    level: float,
    label_loss: Callable[[Tensor, Targets], Tensor],
    score: Callable[[Tensor, Targets], float],
) -> Tensor:
    """Return the loss of the potentials U at the step t_f of the decision, `[B, K]`:

        L = 2 CE(U_{t_f}, y) + 2/B Σ_b θ Σ_{k≠y} max(U_{t_f,k} - level, 0)
        θ = 1 - clip(n(t_f) / n(T), 0, 1)

    with n the number of right answers in the batch, at the decision and at the last step. θ has no
    gradient, and is 0 where no answer is right at the last step: then no decision came too early.
    Mixed samples have a second term for both of their labels.

    The published second term is a sum over the batch beside a mean, so that its weight grows with
    the batch; here it is a mean.

    Args:
        decision: its scores are U_{t_f}.
        last: the potentials of the last step, `[B, K]`.
        targets: y.
        level: that the potentials cross.
        label_loss: CE of scores `[B, K]`.
        score: the number of right answers of scores `[B, K]`.

    Source: arXiv 2305.16594 and its published code.
    """
    potentials = decision.scores.float()
    right = score(last, targets)
    theta = 1 - min(score(potentials, targets) / right, 1.0) if right else 0.0
    beyond = relu(potentials - level)
    others = beyond.sum(1).mean() - sum(
        weight * beyond.gather(1, labels.unsqueeze(1)).mean()
        for labels, weight in (
            (targets.first, targets.weight),
            (targets.second, 1 - targets.weight),
        )
    )
    return 2 * label_loss(potentials, targets) + 2 * theta * others
