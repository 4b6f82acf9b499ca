"""The training loop, from a recipe to a run directory, top to bottom."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from ..core.claims import claimed
from ..core.files import write_json, write_text
from ..core.runs import Run
from ..datasets import Batches, Targets
from ..measure.pictures import draw_curves
from ..measure.spikes import SpikeRates
from ..models.saved import save_model
from .checkpoint import save_checkpoint
from .device import derived_seed, mixed_precision, seed_all
from .distillation import TWIN, load_teacher, twin, twin_run
from .losses import OF_THE_MEAN
from .position import Position
from .recipe import Recipe
from .results import rank, require_finite, times, validate, write_results
from .resuming import check_resumable, take_up
from .schedule import learning_rate
from .surroundings import surroundings
from .training import Training, prepare, training_batches

RATE_EVERY = 20  # batches between two measurements of the spike rate


class Stopped(Exception):
    """The training was asked to stop; the position tells where it stands."""


class Observer(Protocol):
    """Who is told how a training goes."""

    def started(self, training: Training) -> None:
        """All is loaded and built; training begins or goes on."""

    def batch_done(self, training: Training, loss: float, accuracy: float, rate: float) -> None:
        """A step is made; loss and accuracy are those of the open epoch so far."""

    def epoch_done(self, training: Training, metrics: dict[str, Any]) -> None:
        """An epoch is validated and saved."""


def train(
    recipe: Recipe,
    run: Run,
    observer: Observer,
    *,
    resume: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """Train a recipe and write its run directory; return the summary.

    Validation data chooses the best weights; the test split is not touched. Where the recipe
    wants its analog twin for a teacher, that one is trained first, in `teacher/` of the run.

    Args:
        recipe: a checked recipe.
        run: an empty run directory, or with `resume` one whose training was interrupted.
        observer: is told how it goes.
        resume: go on from the newest training state.
        stop: asked after each step, and in validation; once true, the state is saved and None
            returned.

    Raises:
        ConfigError: with `resume`, the recipe is not the one that the run began with.
        AsnnError: the data cannot be had, the run cannot be written or is at work elsewhere, or
            the loss is not finite.
    """
    with claimed(run.path, "a training", "two at once would write over each other"):
        if resume:
            check_resumable(recipe, run)
        training = prepare(recipe, run)
        if not resume:
            write_text(run.config, recipe.toml())
        if recipe.train.teacher == TWIN:
            if not _train_twin(recipe, run, observer, stop):
                return None
            training.teacher = load_teacher(recipe, run, training.data, training.device)
        if resume:
            take_up(training)
        if not run.environment.exists():
            write_json(run.environment, surroundings(training))
        observer.started(training)
        training.saved = time.monotonic(), training.position.step
        try:
            if stop():  # before there is anything to save
                raise Stopped
            return _train_epochs(training, observer, stop)
        except Stopped:
            return None


def _train_epochs(
    training: Training, observer: Observer, stop: Callable[[], bool]
) -> dict[str, Any]:
    """Train from where it stands to the last epoch; return the summary.

    Raises:
        Stopped: it was asked to stop, and the state is saved.
    """
    recipe, run, position = training.recipe, training.run, training.position

    def stop_if_asked() -> None:
        if stop():
            _save_state(training)
            raise Stopped

    for _ in range(position.epoch, recipe.train.epochs):
        train_epoch(training, observer, stop_if_asked)
        metrics = validate(training, stop_if_asked)
        require_finite(metrics["validation_loss"], position.step)
        position.times.append(times(training))
        position.history.append(metrics)
        position.close_epoch()
        if position.best is None or rank(metrics) > rank(position.best):
            position.best = metrics
            save_model(run.model, training.result, labels=training.data.classes)
        _save_state(training)
        write_results(training, finished=False)
        observer.epoch_done(training, metrics)
        if stop() and position.epoch < recipe.train.epochs:
            raise Stopped
    draw_curves(run.curves, position.history)
    return write_results(training, finished=True)


def train_epoch(
    training: Training, observer: Observer, after_step: Callable[[], None] = lambda: None
) -> None:
    """Train from where the open epoch stands to its end.

    Args:
        after_step: called after each step but the last of the epoch; what it raises ends it.
    """
    recipe, position, model = training.recipe, training.position, training.model
    settings = recipe.train
    model.train()
    rate = 0.0
    begin = time.perf_counter()
    for x, targets in _timed(training_batches(training), position):
        # What the network draws (a rate code, dropout) depends on the place in the training alone.
        seed_all(derived_seed(settings.seed, position.epoch, position.batch))
        for group in training.optimizer.param_groups:
            group["lr"] = learning_rate(settings, position.step, training.batches_per_epoch)
        with mixed_precision(training.device, settings.precision):
            if position.batch % RATE_EVERY == 0:
                with SpikeRates(model) as rates:
                    logits = _logits(training, x)
                rate = rates.mean()
            else:
                logits = _logits(training, x)
            loss = loss_of(training, logits, targets, x)
        training.optimizer.zero_grad()
        training.scaler.scale(loss).backward()
        if settings.clip_norm is not None:
            training.scaler.unscale_(training.optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        training.scaler.step(training.optimizer)
        training.scaler.update()
        if training.average is not None:
            training.average.update(position.step + 1)

        value = loss.item()
        require_finite(value, position.step)
        with torch.no_grad():
            answers = logits.mean(0).argmax(1)
        right, also = (float((answers == y).sum()) for y in (targets.first, targets.second))
        position.batch += 1
        position.step += 1
        position.seen += len(x)
        position.loss += value * len(x)
        position.correct += targets.weight * right + (1 - targets.weight) * also
        now = time.perf_counter()
        position.seconds += now - begin
        position.open_seconds += now - begin
        begin = now
        observer.batch_done(
            training, position.loss / position.seen, position.correct / position.seen, rate
        )
        if position.batch < training.batches_per_epoch:
            after_step()
            if _state_is_due(training):
                _save_state(training)


def _state_is_due(training: Training) -> bool:
    """Tell whether the recipe wants the state to be written after this step."""
    settings, (moment, step) = training.recipe.train, training.saved
    steps = settings.checkpoint_steps
    return time.monotonic() - moment >= 60 * settings.checkpoint_minutes or (
        steps is not None and training.position.step - step >= steps
    )


def _logits(training: Training, x: Tensor) -> Tensor:
    """Return the logits that the loss needs: of every step, or as one step their mean."""
    if training.recipe.train.loss in OF_THE_MEAN and training.teacher is None:
        return training.model.mean_logits(x).unsqueeze(0)
    return training.model(x)


def loss_of(training: Training, logits: Tensor, targets: Targets, x: Tensor) -> Tensor:
    """Return the loss of a batch: by its labels, and by the teacher if there is one."""
    loss = training.loss(logits, targets)
    return loss if training.teacher is None else training.teacher.blended(loss, logits, x)


def _timed(batches: Batches, position: Position) -> Iterator[Any]:
    """Yield batches, and add up how long they were waited for."""
    begin = time.perf_counter()
    for batch in batches:
        position.waited += time.perf_counter() - begin
        yield batch
        begin = time.perf_counter()


def _train_twin(recipe: Recipe, run: Run, observer: Observer, stop: Callable[[], bool]) -> bool:
    """Train the analog twin, or go on with it; return whether it is trained."""
    teacher = twin_run(run)
    if teacher.finished:
        return True
    teacher.path.mkdir(exist_ok=True)
    resume = teacher.config.exists()
    return train(twin(recipe), teacher, observer, resume=resume, stop=stop) is not None


def _save_state(training: Training) -> None:
    save_checkpoint(training)
    training.saved = time.monotonic(), training.position.step
