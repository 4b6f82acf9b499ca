"""When a stage of a training ends, and when the training does."""

from __future__ import annotations

from typing import Any

from .training import Training


def is_finished(training: Training) -> bool:
    """Return whether no epoch is left in the current or a later stage."""
    progress, last = training.progress, len(training.stages) - 1
    return progress.stage > last or (progress.stage == last and _is_complete(training))


def has_result(training: Training) -> bool:
    """Return whether the best weights are of the last stage: those of an earlier one are not those
    of the method, and are not written as `model.safetensors`."""
    last = training.stages[-1].name if len(training.stages) > 1 else None
    best = training.progress.best
    return best is not None and best.get("stage") == last


def close_stage(training: Training, *, early: bool) -> None:
    """Count the current stage as complete if its last epoch is, if it is out of patience, or if the
    method ends it early.

    The last stage stays the current one after its last epoch, so that a training can be resumed
    with more epochs or more patience.
    """
    progress = training.progress
    if early or (_is_complete(training) and progress.stage < len(training.stages) - 1):
        progress.stage += 1
        progress.stage_epoch = progress.stage_step = 0


def is_out_of_patience(training: Training) -> bool:
    """Return whether the last `train.patience` epochs of the current stage gave no better one.

    The best epoch is that whose weights are kept: by the primary metric on validation data, and at
    equal values by the loss. It is in the checkpoint, so a resumed training counts on.
    """
    patience, progress = training.recipe.train.patience, training.progress
    if patience is None or progress.best is None or not progress.stage_epoch:
        return False
    return progress.epoch - progress.best["epoch"] >= patience


def early_stop(training: Training) -> dict[str, Any] | None:
    """Return after which epoch the training stopped early, and its best; None if it did not."""
    progress = training.progress
    last = progress.stage == len(training.stages) - 1
    if not last or progress.stage_epoch >= training.stage.epochs:
        return None
    if not is_out_of_patience(training):
        return None
    assert progress.best is not None
    return {
        "epoch": progress.epoch,
        "best_epoch": progress.best["epoch"],
        "patience": training.recipe.train.patience,
    }


def _is_complete(training: Training) -> bool:
    has_all = training.progress.stage_epoch >= training.stage.epochs
    return has_all or is_out_of_patience(training)
