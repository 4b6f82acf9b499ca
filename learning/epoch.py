"""One epoch of training: forward, backward and optimizer steps over its batches."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from statistics import fmean
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from ..coding.draws import drawing, sample_keys
from ..datasets import Batches
from ..measure.spikes import SpikeRates
from .checkpoints.autosave import save_and_stop, save_if_due
from .device import derived_seed, seed_all
from .monitoring.statistics import measured_step
from .observer import Observer
from .progress import TrainProgress
from .results import require_finite
from .schedule import learning_rate
from .training import Training, training_batches

RATE_EVERY = 20  # batches between two measurements of the spike rate
STATISTICS_EVERY = 20  # optimization steps between two measurements of norms, from the first


def train_epoch(
    training: Training, observer: Observer, stop: Callable[[], bool] = lambda: False
) -> None:
    """Train on the remaining batches of the current epoch.

    Raises:
        Stopped: `stop` returned true, and a checkpoint is written.
    """
    recipe, progress, model = training.recipe, training.progress, training.model
    settings, count = recipe.train, training.batches_per_epoch
    model.train()
    for module in training.evaluated:
        module.eval()
    rate = 0.0
    begin = time.perf_counter()
    batches = training_batches(training)
    for x, targets in _timed(batches, progress):
        accumulated = progress.batch % settings.accumulate  # batches of this step so far
        ends_step = accumulated == settings.accumulate - 1 or progress.batch == count - 1
        # Random numbers of the network, such as dropout, depend on the position alone; those of
        # codes and neurons that say that they draw, on the sample and the epoch.
        seed_all(derived_seed(settings.seed, progress.epoch, progress.batch, *_rank_seed(training)))
        if accumulated == 0:
            training.optimizer.zero_grad()
        measure_rate = progress.batch % RATE_EVERY == 0
        assert targets.samples is not None, "batches say which samples they hold"
        keys = sample_keys(targets.samples, settings.seed, progress.epoch)
        with _gradient_sync(training, ends_step), drawing(keys):
            weight = _loss_weight(batches, training, len(x))
            with SpikeRates(model) if measure_rate else contextlib.nullcontext() as rates:
                losses, outputs = [], []
                for loss, of_steps in training.method.learn(training, x, targets, weight):
                    losses.append(loss.item())
                    outputs.append(of_steps.detach())
                    require_finite(losses[-1], progress.step)
                    if ends_step:
                        _optimizer_step(training)
        rate = rate if rates is None else rates.mean()
        value = fmean(losses)
        logits = outputs[0] if len(outputs) == 1 else torch.cat(outputs)

        loss_sum, score, seen, stop_requested = training.processes.summed(
            value * len(x), training.task.score(logits, targets), float(len(x)), float(stop())
        )
        progress.batch += 1
        progress.seen += int(seen)
        progress.loss += loss_sum
        progress.score += score
        now = time.perf_counter()
        progress.seconds += now - begin
        progress.epoch_seconds += now - begin
        begin = now
        observer.batch_done(
            training, progress.loss / progress.seen, progress.score / progress.seen, rate
        )
        if ends_step and progress.batch < count:
            if stop_requested:
                save_and_stop(training)
            save_if_due(training)


def _optimizer_step(training: Training) -> None:
    settings, progress = training.recipe.train, training.progress
    for group in training.optimizer.param_groups:
        group["lr"] = _learning_rate(training)
    measured = settings.statistics and _step_in_epoch(training) % STATISTICS_EVERY == 0
    if settings.clip_norm is not None or measured:
        training.scaler.unscale_(training.optimizer)
    sums = progress.statistic_sums
    with measured_step(training.model, sums) if measured else contextlib.nullcontext():
        if settings.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(training.model.parameters(), settings.clip_norm)
        training.scaler.step(training.optimizer)
    training.scaler.update()
    if training.average is not None:
        training.average.update(progress.stage_step + 1)
    progress.step += 1
    progress.stage_step += 1


def _learning_rate(training: Training) -> float:
    """Return the learning rate of the current step, of the schedule unless `rates` are given."""
    step = training.progress.stage_step
    if training.rates is not None:
        return training.rates[step]
    stage = training.stage
    return learning_rate(
        training.recipe.train, step, training.steps_per_epoch, stage.epochs, stage.lr
    )


def _step_in_epoch(training: Training) -> int:
    """Return the index of the current optimization step in its epoch."""
    return training.progress.stage_step % training.steps_per_epoch


def _rank_seed(training: Training) -> tuple[int, ...]:
    """Return the part of the seed that differs between processes; none for the first."""
    rank = training.processes.rank
    return (rank,) if rank else ()


def _gradient_sync(training: Training, ends_step: bool) -> contextlib.AbstractContextManager[Any]:
    """Average gradients over processes in the last batch of a step only."""
    forward = training.forward
    if ends_step or not isinstance(forward, DistributedDataParallel):
        return contextlib.nullcontext()
    return forward.no_sync()


def _loss_weight(batches: Batches, training: Training, samples: int) -> float:
    """Return the factor of a batch's mean loss with which all samples of a step weigh the same.

    Gradients are summed over the batches of a step, and averaged over processes.
    """
    size, batch = training.recipe.train.accumulate, training.progress.batch
    first = batch - batch % size
    last = min(first + size, training.batches_per_epoch)
    total = sum(batches.size(each) for each in range(first, last))
    return training.processes.count * samples / total


def _timed(batches: Batches, progress: TrainProgress) -> Iterator[Any]:
    """Yield batches, and add the time spent waiting for them to `data_wait_seconds`."""
    begin = time.perf_counter()
    for batch in batches:
        progress.data_wait_seconds += time.perf_counter() - begin
        yield batch
        begin = time.perf_counter()
