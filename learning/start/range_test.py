"""The learning rate range test: the loss of a short training whose learning rate rises."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ...core.errors import ConfigError
from ..epoch import train_epoch
from ..observer import SilentObserver
from ..results import Diverged
from ..training import Training, begin_stage
from .begin import begin_from_start, needs_counterpart, needs_start

WINDOW = 20  # the smoothed loss is the mean over steps / WINDOW steps to either side
DIVERGED = 4.0  # times the least loss: there the test ends
MIN_STEPS = 20
RULE = "a tenth of the rate of the least smoothed loss"


@dataclass(frozen=True)
class RangeTest:
    """The steps of a range test.

    Attributes:
        rates: the learning rate of each step.
        losses: of the batches of each step, before the step.
        smoothed: the mean of the losses around each step.
        suggested: the learning rate by `RULE`; None if there is none.
        reason: why there is none; else empty.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggested: float | None
    reason: str = ""


def range_test(
    training: Training,
    *,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
    each_step: Callable[[], None] = lambda: None,
) -> RangeTest:
    """Train for some steps while the learning rate rises, and suggest one by the losses.

        lr_i = lowest (highest / lowest)^(i / (steps - 1))          i = 0, 1, ..., steps - 1
        smoothed_i = mean of L_j over |j - i| ≤ steps / 20

    with L_i the loss of step i. It ends early if a loss is not finite, or if the mean of the last
    losses is four times the least such mean. Batches, augmentation and random numbers are those
    with which a training of the recipe begins. Nothing is written.

    Args:
        training: of `prepare`; it is trained by the test, and not of use afterwards.
        lowest, highest: learning rates.
        steps: optimization steps.
        each_step: called after each step.

    Raises:
        ConfigError: the range or the number of steps is too small, or the recipe trains nothing, or
            its ANN counterpart first.

    Source: Smith, WACV 2017 (arXiv 1506.01186). The geometric rise, and the rule for one rate
    instead of a range, are those of later practice.
    """
    if not 0 < lowest < highest < math.inf:
        raise ConfigError(f"the rates go from {lowest:g} to {highest:g}: give 0 < lowest < highest")
    if steps < MIN_STEPS:
        raise ConfigError(f"a range test needs {MIN_STEPS} steps or more, not {steps}")
    _begin(training)
    training.rates = [lowest * (highest / lowest) ** (i / (steps - 1)) for i in range(steps)]
    training.saved = (math.inf, math.inf)  # no checkpoint is ever due
    half = steps // WINDOW
    losses = _Losses(steps, last=2 * half + 1, each_step=each_step)
    try:
        while True:
            train_epoch(training, losses)
            training.progress.close_epoch()
    except (_Ended, Diverged):
        pass
    found = losses.of_steps
    smoothed = [fmean(found[max(i - half, 0) : i + half + 1]) for i in range(len(found))]
    rates = training.rates[: len(found)]
    return RangeTest(rates, found, smoothed, *suggest(rates, smoothed))


def suggest(rates: list[float], smoothed: list[float]) -> tuple[float | None, str]:
    """Return the learning rate by `RULE`; None, and why, if the loss never falls."""
    if len(smoothed) < 2:
        return None, "the loss is not finite at the lowest rates"
    least = min(range(len(smoothed)), key=smoothed.__getitem__)
    if least == 0:
        return None, "the loss never falls below that of the lowest rate"
    return rates[least] / 10, ""


def _begin(training: Training) -> None:
    """Begin the first stage, from the weights of a start if the recipe has one."""
    if needs_counterpart(training):
        raise ConfigError(
            "a range test does not train the ANN counterpart that the recipe begins with",
            why="that takes as long as a training",
            remedy="name a trained run in its place: method.teacher=RUN or train.init=RUN",
        )
    if training.recipe.train.epochs == 0:
        raise ConfigError(
            "train.epochs is 0: the recipe uses no learning rate",
            remedy="set train.epochs to 1 or more",
        )
    if training.method.updates(training.recipe.coding.steps) > 1:
        raise ConfigError(
            f"a range test is not for the method {training.recipe.method.name}",
            why="it compares the losses of batches, which take several optimization steps each",
            remedy="compare a few values of train.lr: asnn sweep --grid train.lr=0.0001,0.001,0.01",
        )
    training.method.load(training)
    if needs_start(training):
        begin_from_start(training)
        begin_stage(training)


class _Ended(Exception):
    """The last step is done, or the loss is too great."""


class _Losses(SilentObserver):
    """Collects the losses of steps from the sums of an epoch, and ends the test."""

    def __init__(self, steps: int, last: int, each_step: Callable[[], None]) -> None:
        self.of_steps: list[float] = []
        self._steps, self._last, self._each_step = steps, last, each_step
        self._sum, self._samples = 0.0, 0  # at the end of the last step of this epoch
        self._least = math.inf

    def batch_done(self, training: Any, loss: float, score: float, rate: float) -> None:
        progress = training.progress
        if progress.step == len(self.of_steps):
            return  # of several batches in a step, not the last
        if progress.batch <= training.recipe.train.accumulate:
            self._sum, self._samples = 0.0, 0
        self.of_steps.append((progress.loss - self._sum) / (progress.seen - self._samples))
        self._sum, self._samples = progress.loss, progress.seen
        self._each_step()
        recent = fmean(self.of_steps[-self._last :])
        self._least = min(self._least, recent)
        if len(self.of_steps) == self._steps or recent > DIVERGED * self._least:
            raise _Ended
