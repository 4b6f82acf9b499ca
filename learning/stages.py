"""The stages of a training: each begins with an optimizer, and with an average, of its own."""

from __future__ import annotations

from .averaging import Average
from .methods import Stage
from .optimizer import make_optimizer
from .training import TrainableForward, Training, join_gradients


def current_stage(training: Training) -> Stage:
    """Return the stage that the training is in; after the last one, the last."""
    return training.stages[min(training.progress.stage, len(training.stages) - 1)]


def is_finished(training: Training) -> bool:
    """Return whether no epoch is left in the current or a later stage."""
    progress, last = training.progress, len(training.stages) - 1
    complete = progress.stage_epoch >= current_stage(training).epochs
    return progress.stage > last or (progress.stage == last and complete)


def close_stage(training: Training, *, early: bool) -> None:
    """Count the current stage as complete if its last epoch is, or if the method ends it early.

    The last stage stays the current one after its last epoch, so that a training can be resumed
    with more epochs.
    """
    progress = training.progress
    complete = progress.stage_epoch >= current_stage(training).epochs
    if early or (complete and progress.stage < len(training.stages) - 1):
        progress.stage += 1
        progress.stage_epoch = progress.stage_step = 0


def begin_stage(training: Training) -> None:
    """Let the method prepare the current stage, and make what belongs to it."""
    train = training.recipe.train
    training.evaluated = training.method.begin(training, current_stage(training))
    training.optimizer = make_optimizer(train, training.model)
    training.average = None if train.ema is None else Average(training.model, train.ema)
    training.forward = TrainableForward(training.model)
    join_gradients(training)
