"""When a training that teaches the step of the decision decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...tasks.losses import DECISION_LOSSES

if TYPE_CHECKING:
    from ..training import Training

MARGIN = 0.01
"""Of the steps, within which the mean step counts as the last one."""


def never_early(training: Training) -> str | None:
    """Return what to say of a training by the loss of the decision that has decided at the last
    step in all its epochs; None of any other.

    Such a training has taught the last step only, as a loss of that step would have. It happens
    where no class is beyond the level before most of the input has come.
    """
    settings, history = training.recipe.train, training.progress.history
    if settings.loss not in DECISION_LOSSES:
        return None
    means = [row["validation_mean_step"] for row in history if "validation_mean_step" in row]
    steps = training.model.coding.steps
    if not means or min(means) < (1 - MARGIN) * steps:
        return None
    return (
        f"no epoch has decided before the last step (mean step {min(means):.2f} of {steps}): "
        f"train.loss={settings.loss} has taught that step alone. Train longer, lower "
        "readout.level, or choose a code whose input does not come at the end"
    )
