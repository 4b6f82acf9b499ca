"""When a stage of a training ends, and when the training does."""

from __future__ import annotations

from .training import Training


def is_finished(training: Training) -> bool:
    """Return whether no epoch is left in the current or a later stage."""
    progress, last = training.progress, len(training.stages) - 1
    complete = progress.stage_epoch >= training.stage.epochs
    return progress.stage > last or (progress.stage == last and complete)


def has_result(training: Training) -> bool:
    """Return whether the best weights are of the last stage: those of an earlier one are not those
    of the method, and are not written as `model.safetensors`."""
    last = training.stages[-1].name if len(training.stages) > 1 else None
    best = training.progress.best
    return best is not None and best.get("stage") == last


def close_stage(training: Training, *, early: bool) -> None:
    """Count the current stage as complete if its last epoch is, or if the method ends it early.

    The last stage stays the current one after its last epoch, so that a training can be resumed
    with more epochs.
    """
    progress = training.progress
    complete = progress.stage_epoch >= training.stage.epochs
    if early or (complete and progress.stage < len(training.stages) - 1):
        progress.stage += 1
        progress.stage_epoch = progress.stage_step = 0
