"""Learning rates as functions of the step alone: there is no state to save."""

from __future__ import annotations

import math

from .recipe.schema import TrainSection


def learning_rate(
    train: TrainSection,
    step: int,
    steps_per_epoch: int,
    epochs: int | None = None,
    lr: float | None = None,
) -> float:
    """Return the learning rate of a step, counted from 0 over a stage of so many epochs, by
    default over the whole training.

    lr is that of the stage, or `train.lr`. Warm-up rises linearly to it over `warmup_epochs`. Then,
    with p the fraction of the remaining steps that is done:
        cosine    final_lr + (lr - final_lr) (1 + cos(π p)) / 2
        step      lr · decay_factor^⌊epoch / decay_epochs⌋
        constant  lr
    """
    lr = train.lr if lr is None else lr
    warmup = train.warmup_epochs * steps_per_epoch
    if step < warmup:
        return lr * (step + 1) / warmup
    if train.schedule == "cosine":
        final_lr = min(train.final_lr, lr)  # a small lr must not rise to the default
        rest = max((epochs or train.epochs) * steps_per_epoch - warmup, 1)
        done = min((step - warmup) / rest, 1.0)
        return final_lr + (lr - final_lr) * (1 + math.cos(math.pi * done)) / 2
    if train.schedule == "step":
        return lr * train.decay_factor ** (step // steps_per_epoch // train.decay_epochs)
    return lr
