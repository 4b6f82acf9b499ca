"""The training loop, from a recipe to a run directory, top to bottom."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from ..core.files import remove_partial_writes, write_bytes, write_json, write_text
from ..core.folder_lock import folder_lock
from ..datasets import Batches, DataSet, Targets
from ..measure.figures.curves import draw_curves
from ..measure.spikes import SpikeRates
from ..models.saved import model_bytes
from ..records.layout import Run
from .checkpoints.content import save_checkpoint
from .checkpoints.resume import check_resumable, restore_latest
from .device import derived_seed, mixed_precision, seed_all
from .distillation import TWIN, load_teacher, twin, twin_run
from .environment import surroundings
from .losses import OF_THE_MEAN
from .observer import Observer
from .processes import ALONE, Processes
from .progress import TrainProgress
from .recipe.schema import Recipe
from .results import rank, require_finite, times, validate, write_results
from .schedule import learning_rate
from .training import Training, join_gradients, prepare, training_batches

SLOW = 10  # seconds that a state may take to be written
RATE_EVERY = 20  # batches between two measurements of the spike rate


class Stopped(Exception):
    """The training was asked to stop; the progress tells where it stands."""


def train(
    recipe: Recipe,
    run: Run,
    observer: Observer,
    *,
    resume: bool = False,
    stop: Callable[[], bool] = lambda: False,
    processes: Processes = ALONE,
    data: DataSet | None = None,
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
        processes: of those that train together, which this is; the first one writes.
        data: of the recipe, where they are loaded already.

    Raises:
        ConfigError: with `resume`, the recipe is not the one that the run began with.
        AsnnError: the data cannot be had, the run cannot be written or is at work elsewhere, the
            loss is not finite, or another process has ended.
    """
    with _claimed(run, processes):
        if processes.first:
            remove_partial_writes(run.path)
        if resume:
            check_resumable(recipe, run, processes)
        try:
            training = prepare(recipe, run, processes, data)
            if not resume and processes.first:
                write_text(run.config, recipe.toml())
        except BaseException:
            _remove_empty_run_dir(run, processes)
            raise
        if recipe.train.teacher == TWIN:
            if not _train_twin(training, observer, stop):
                return None
            training.teacher = load_teacher(recipe, run, training.data, training.device)
        if resume:
            restore_latest(training)
        if processes.first and not run.environment.exists():
            write_json(run.environment, surroundings(training))
        join_gradients(training)
        observer.started(training)
        training.saved = time.monotonic(), training.progress.step
        try:
            return _train_epochs(training, observer, stop)
        except Stopped:
            return None


def _claimed(run: Run, processes: Processes) -> contextlib.AbstractContextManager[Any]:
    if not processes.first:
        return contextlib.nullcontext()
    return folder_lock(run.path, "a training", "two at once would write over each other")


def _remove_empty_run_dir(run: Run, processes: Processes) -> None:
    """Remove the folder of a run in which nothing has been written."""
    if processes.first:
        with contextlib.suppress(OSError):
            run.path.rmdir()


def _asked(training: Training, stop: Callable[[], bool]) -> bool:
    """Tell whether any process was asked to stop."""
    return training.processes.summed(float(stop()))[0] > 0


def _train_epochs(
    training: Training, observer: Observer, stop: Callable[[], bool]
) -> dict[str, Any]:
    """Train from where it stands to the last epoch; return the summary.

    Raises:
        Stopped: it was asked to stop, and the state is saved.
    """
    recipe, run, progress = training.recipe, training.run, training.progress

    def in_validation() -> None:
        if _asked(training, stop):
            _stop(training)
        if _state_is_due(training):
            _save_state(training)

    for _ in range(progress.epoch, recipe.train.epochs):
        train_epoch(training, observer, stop)
        metrics = validate(training, in_validation)
        require_finite(metrics["validation_loss"], progress.step)
        progress.times.append(times(training))
        progress.history.append(metrics)
        progress.close_epoch()
        if progress.best is None or rank(metrics) > rank(progress.best):
            progress.best = metrics
            training.best = model_bytes(training.result, labels=training.data.classes)
            if training.processes.first:
                write_bytes(run.model, training.best)
        _save_state(training)
        write_results(training, finished=False)
        observer.epoch_done(training, metrics)
        if _asked(training, stop) and progress.epoch < recipe.train.epochs:
            raise Stopped
    if training.processes.first:
        draw_curves(run.curves, progress.history)
    return write_results(training, finished=True)


def train_epoch(
    training: Training, observer: Observer, stop: Callable[[], bool] = lambda: False
) -> None:
    """Train from where the open epoch stands to its end.

    Raises:
        Stopped: it was asked to stop, and the state is saved.
    """
    recipe, progress, model = training.recipe, training.progress, training.model
    settings, count = recipe.train, training.batches_per_epoch
    model.train()
    rate = 0.0
    begin = time.perf_counter()
    batches = training_batches(training)
    for x, targets in _timed(batches, progress):
        place = progress.batch % settings.accumulate
        steps = place == settings.accumulate - 1 or progress.batch == count - 1
        # What the network draws (a rate code, dropout) depends on the place in the training alone.
        seed_all(derived_seed(settings.seed, progress.epoch, progress.batch, *_own(training)))
        if place == 0:
            training.optimizer.zero_grad()
        watched = progress.batch % RATE_EVERY == 0
        with _gradients_of(training, last=steps):
            with (
                mixed_precision(training.device, settings.precision),
                SpikeRates(model) if watched else contextlib.nullcontext() as rates,
            ):
                logits = training.forward(x, _wants_mean(training))
                loss = loss_of(training, logits, targets, x)
            weight = _weight(batches, training, len(x))
            training.scaler.scale(loss if weight == 1 else loss * weight).backward()
        rate = rate if rates is None else rates.mean()
        value = loss.item()
        require_finite(value, progress.step)
        if steps:
            _step(training)

        with torch.no_grad():
            answers = logits.mean(0).argmax(1)
        right, also = (float((answers == y).sum()) for y in (targets.first, targets.second))
        correct = targets.weight * right + (1 - targets.weight) * also
        loss_sum, correct, seen, asked = training.processes.summed(
            value * len(x), correct, float(len(x)), float(stop())
        )
        progress.batch += 1
        progress.seen += int(seen)
        progress.loss += loss_sum
        progress.correct += correct
        now = time.perf_counter()
        progress.seconds += now - begin
        progress.epoch_seconds += now - begin
        begin = now
        observer.batch_done(
            training, progress.loss / progress.seen, progress.correct / progress.seen, rate
        )
        if steps and progress.batch < count:
            if asked:
                _stop(training)
            if _state_is_due(training):
                _save_state(training)


def _step(training: Training) -> None:
    """Make one optimisation step with the gradients that there are."""
    settings, progress = training.recipe.train, training.progress
    for group in training.optimizer.param_groups:
        group["lr"] = learning_rate(settings, progress.step, training.steps_per_epoch)
    if settings.clip_norm is not None:
        training.scaler.unscale_(training.optimizer)
        torch.nn.utils.clip_grad_norm_(training.model.parameters(), settings.clip_norm)
    training.scaler.step(training.optimizer)
    training.scaler.update()
    if training.average is not None:
        training.average.update(progress.step + 1)
    progress.step += 1


def _own(training: Training) -> tuple[int, ...]:
    """Return what sets the random numbers of a process apart from those of the first."""
    rank = training.processes.rank
    return (rank,) if rank else ()


def _gradients_of(training: Training, *, last: bool) -> contextlib.AbstractContextManager[Any]:
    """Let processes exchange their gradients in the last batch of a step only."""
    answers = training.forward
    if last or not isinstance(answers, DistributedDataParallel):
        return contextlib.nullcontext()
    return answers.no_sync()


def _weight(batches: Batches, training: Training, samples: int) -> float:
    """Return what a batch's mean loss counts for in its step, where all samples count alike.

    Gradients are added up over the batches of a step, and averaged over processes.
    """
    size, batch = training.recipe.train.accumulate, training.progress.batch
    first = batch - batch % size
    last = min(first + size, training.batches_per_epoch)
    total = sum(batches.size(each) for each in range(first, last))
    return training.processes.count * samples / total


def _wants_mean(training: Training) -> bool:
    """Tell whether the loss looks at the mean over steps alone."""
    return training.recipe.train.loss in OF_THE_MEAN and training.teacher is None


def _stop(training: Training) -> None:
    _save_state(training)
    raise Stopped


def _state_is_due(training: Training) -> bool:
    """Tell whether the recipe wants the state to be written after this step."""
    settings, (moment, step) = training.recipe.train, training.saved
    steps = settings.checkpoint_steps
    return time.monotonic() - moment >= 60 * settings.checkpoint_minutes or (
        steps is not None and training.progress.step - step >= steps
    )


def loss_of(training: Training, logits: Tensor, targets: Targets, x: Tensor) -> Tensor:
    """Return the loss of a batch: by its labels, and by the teacher if there is one."""
    loss = training.loss(logits, targets)
    return loss if training.teacher is None else training.teacher.blended(loss, logits, x)


def _timed(batches: Batches, progress: TrainProgress) -> Iterator[Any]:
    """Yield batches, and add up how long they were data_wait_seconds for."""
    begin = time.perf_counter()
    for batch in batches:
        progress.data_wait_seconds += time.perf_counter() - begin
        yield batch
        begin = time.perf_counter()


def _train_twin(training: Training, observer: Observer, stop: Callable[[], bool]) -> bool:
    """Train the analog twin, or go on with it; return whether it is trained."""
    processes, teacher = training.processes, twin_run(training.run)
    finished, begun = processes.from_first(lambda: (teacher.finished, teacher.config.exists()))
    if finished:
        return True
    if processes.first:
        teacher.path.mkdir(exist_ok=True)
    summary = train(
        twin(training.recipe),
        teacher,
        observer,
        resume=begun,
        stop=stop,
        processes=processes,
        data=training.data,
    )
    return summary is not None


def _save_state(training: Training) -> None:
    begin = time.monotonic()
    if training.processes.first:
        save_checkpoint(training)
    end = time.monotonic()
    training.saved = end, training.progress.step
    if end - begin > SLOW:
        warnings.warn(
            f"writing the training state took {end - begin:.0f} s: the disk is slow; raise "
            "train.checkpoint_minutes, or train into another folder",
            stacklevel=2,
        )
