"""When a checkpoint is written: after each epoch, at intervals, and when a training is stopped."""

from __future__ import annotations

import time
import warnings
from typing import NoReturn

from ..training import Training
from .content import save_checkpoint

SLOW_SECONDS = 10  # writing a checkpoint for longer is worth a warning


class Stopped(Exception):
    """The training was stopped on request, after a checkpoint was written."""


def save(training: Training) -> None:
    """Write a checkpoint, with a warning if it took long."""
    begin = time.monotonic()
    if training.processes.first:
        save_checkpoint(training)
    end = time.monotonic()
    training.saved = end, training.progress.step
    if end - begin > SLOW_SECONDS:
        warnings.warn(
            f"writing the checkpoint took {end - begin:.0f} s: the disk is slow; raise "
            "train.checkpoint_minutes, or train into another folder",
            stacklevel=2,
        )


def save_if_due(training: Training) -> None:
    """Write a checkpoint if the recipe's interval in minutes or steps has passed."""
    settings, (moment, step) = training.recipe.train, training.saved
    if time.monotonic() - moment >= 60 * settings.checkpoint_minutes or (
        settings.checkpoint_steps is not None
        and training.progress.step - step >= settings.checkpoint_steps
    ):
        save(training)


def save_and_stop(training: Training) -> NoReturn:
    """Write a checkpoint and raise `Stopped`."""
    save(training)
    raise Stopped
