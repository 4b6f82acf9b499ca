"""Progress of a training: a live line on a terminal; elsewhere a line for each epoch, and one a
minute within an epoch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from ...learning.loop import Training
from ...learning.monitoring.decisions import never_early
from ...learning.stages import early_stop, is_finished
from ...learning.start.begin import start_notes
from ...models.layers.spiking import SpikingLayer
from ...models.network import SpikingNetwork
from .console import UNKNOWN, duration, note, stderr

MINUTE = 60.0  # seconds between two lines where there is no terminal


class Progress:
    """Observer of a training; a context manager, which removes the live line at its end.

    Args:
        when_started: called when a training begins.
        clock: seconds since any moment.
    """

    def __init__(
        self,
        when_started: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._when_started = when_started
        self._clock = clock
        self._console = stderr()
        self._live: Any = None
        self._task: Any = None
        self._begin = self._last = self._shown = 0.0
        self._seen = 0  # samples of the current epoch
        self._samples = 0  # samples in this session
        self._seconds = 0.0  # spent on those, without validation
        self._first_step = 0  # of this session
        self._has_spikes = True

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def started(self, training: Training) -> None:
        self._when_started()
        recipe, data = training.recipe, training.data
        note(
            f"{recipe.name}: {recipe.model.name} with {recipe.model.neuron} neurons, "
            f"{training.parameters + training.frozen_parameters:,} parameters; "
            f"code {recipe.coding.name}, "
            f"T = {recipe.coding.steps}; {training.device}"
        )
        note(
            f"{data.name}: {len(data.train):,} training, {len(data.validation):,} validation, "
            f"{len(data.test):,} test samples; data {data.fingerprint[:12]}"
        )
        for line in data.notes:
            note(line)
        if training.frozen.parameters:
            note(
                f"frozen: {training.frozen_parameters:,} of them, in "
                f"{', '.join(training.frozen.layers)}"
            )
        left_out = len(data.train) - training.batches_per_epoch * recipe.train.batch_size
        if left_out > 0:
            note(
                f"each epoch leaves out {left_out} of them, drawn anew: a last batch so small has "
                "no statistics for batch norm"
            )
        if training.progress.step:
            note(f"resuming from step {training.progress.step}")
        elif training.start is not None:
            for line in start_notes(training.start):
                note(line)
        patience, epochs = recipe.train.patience, recipe.train.epochs
        if patience is not None and patience >= max(stage.epochs for stage in training.stages) > 0:
            note(f"train.patience = {patience} never stops a training of {epochs} epochs")
        note(f"writing {training.run.path}")
        if self._live is not None:  # of the teacher, which was trained before
            self._live.stop()
            self._live = None
        self._has_spikes = _has_spikes(training.model)
        self._samples, self._seconds = 0, 0.0
        self._first_step = training.progress.step
        self._seen = training.progress.seen
        self._begin = self._last = self._shown = self._clock()
        # rich takes FORCE_COLOR for a terminal, but that asks for colours, not for a live line.
        if sys.stderr.isatty() and recipe.train.epochs:
            self._show_live(training)

    def batch_done(self, training: Training, loss: float, score: float, rate: float) -> None:
        progress, now = training.progress, self._clock()
        self._samples += progress.seen - self._seen
        self._seconds += now - self._last
        self._seen, self._last = progress.seen, now
        if self._live is None:
            if now - self._shown >= MINUTE:
                self._shown = now
                self._show_position(training, loss, score)
            return
        self._live.update(
            self._task,
            completed=progress.step,
            epoch=progress.epoch + 1,
            loss=loss,
            score=training.task.primary.text(score),
            rate=self._rate(rate),
            speed=self._speed(),
        )

    def epoch_done(self, training: Training, metrics: dict[str, Any]) -> None:
        self._seen, self._last = 0, self._clock()
        self._shown = self._last
        metric = training.task.primary
        if metrics["epoch"] == 0:
            value = metric.text(metrics[f"validation_{metric.name}"])
            self._console.print(f"start  validation {metric.title} {value}", markup=False)
            return
        line = (
            f"epoch {metrics['epoch']}/{training.recipe.train.epochs}  "
            f"{_stage(metrics)}"
            f"loss {metrics['train_loss']:.4f}  "
            f"{metric.title} {metric.text(metrics[f'train_{metric.name}'])}  "
            f"validation {metric.text(metrics[f'validation_{metric.name}'])}  "
            f"{_decided(metrics)}"
            f"spike rate {self._rate(metrics['spike_rate'])}  "
            f"{self._speed():,.0f} samples/s  "
            f"{self._left(training)} left"
        )
        self._console.print(line, markup=False)
        late = never_early(training) if is_finished(training) else None
        if late is not None:
            note(late)
        stop = early_stop(training)
        if stop is not None:
            note(
                f"stopped early: no epoch after {stop['best_epoch']} was better "
                f"(train.patience = {stop['patience']})"
            )

    def _show_position(self, training: Training, loss: float, score: float) -> None:
        """Print a line within an epoch: how far it is, loss and metric so far, time left."""
        progress, metric = training.progress, training.task.primary
        line = (
            f"epoch {progress.epoch + 1}/{training.recipe.train.epochs}  "
            f"batch {progress.batch}/{training.batches_per_epoch}  "
            f"loss {loss:.4f}  {metric.title} {metric.text(score)}  "
            f"{self._speed():,.0f} samples/s  {self._left(training)} left"
        )
        self._console.print(line, markup=False)

    def _left(self, training: Training) -> str:
        """Return the time that is left, by the steps of this session; unknown before the first."""
        step = training.progress.step
        done = step - self._first_step
        left = training.recipe.train.epochs * training.steps_per_epoch - step
        return duration((self._last - self._begin) / done * left) if done else UNKNOWN

    def _rate(self, rate: float) -> str:
        return f"{rate:.3f}" if self._has_spikes else UNKNOWN

    def _speed(self) -> float:
        """Return samples per second in this session; 0 before the first."""
        return self._samples / self._seconds if self._seconds else 0.0

    def _show_live(self, training: Training) -> None:
        """Show one line of at most 80 columns: loss, metric, spike rate, speed, time left."""
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Live

        epochs = training.recipe.train.epochs
        metric = training.task.primary.name
        name = "acc" if metric == "accuracy" else metric
        self._live = Live(
            TextColumn(f"epoch {{task.fields[epoch]}}/{epochs}"),
            BarColumn(bar_width=8),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TextColumn(f"{name} {{task.fields[score]}}"),
            TextColumn("rate {task.fields[rate]}"),
            TextColumn("{task.fields[speed]:,.0f} samples/s"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._live.add_task(
            "training",
            total=epochs * training.steps_per_epoch,
            completed=training.progress.step,
            epoch=training.progress.epoch + 1,
            loss=0.0,
            score="–",
            rate="–",
            speed=0.0,
        )
        self._live.start()


def _stage(metrics: dict[str, Any]) -> str:
    """Return the stage of an epoch, of a training in several."""
    return f"stage {metrics['stage']}  " if "stage" in metrics else ""


def _decided(metrics: dict[str, Any]) -> str:
    """Return the mean step or time of the decisions, where there are any."""
    step, time = (metrics.get(f"validation_mean_{unit}") for unit in ("step", "time"))
    if time is not None:
        return f"at time {time:.3g}  "
    return "" if step is None else f"at step {step:.1f}  "


def _has_spikes(model: SpikingNetwork) -> bool:
    layers = (module for module in model.modules() if isinstance(module, SpikingLayer))
    return any(getattr(layer.neuron, "spiking", True) for layer in layers)
