"""Trains a recipe and writes its run directory; `epoch.py` trains one epoch."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..core.files import (
    remove_partial_writes,
    require_writable,
    write_bytes,
    write_json,
    write_text,
)
from ..core.folder_lock import folder_lock
from ..core.metric import Metric
from ..core.packages import missing_package
from ..core.reading import MAX_TOML, read_regular
from ..datasets import DataSet
from ..measure.figures.curves import draw_curves
from ..models.layers.neurons import has_spikes
from ..models.saved import model_bytes
from ..records.create import require_empty
from ..records.layout import Run
from .checkpoints.autosave import Stopped, save, save_and_stop, save_if_due
from .checkpoints.resume import check_resumable, restore_latest
from .environment import environment, read_environment
from .epoch import train_epoch
from .monitoring.log import Logs
from .observer import Observer
from .processes import ALONE, Processes
from .recipe.schema import Recipe
from .results import (
    epoch_statistics,
    epoch_times,
    rank,
    require_finite,
    validate,
    validate_start,
    write_results,
)
from .stages import close_stage, has_result, is_finished
from .start.begin import begin_from_start, needs_counterpart, needs_start, require_same_start
from .trained import ann_counterpart, ann_counterpart_run
from .training import Training, begin_stage, join_gradients, prepare

COPY = "give yourself permission, or copy the folder to where it can be written and resume the copy"


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
    """Train a recipe and write its run directory; return the summary, or None if stopped.

    The best weights are chosen on validation data; the test split is not used. The ANN counterpart
    is trained first, in the run's folder `teacher/`, if the method needs it or the training starts
    from it (`train.init = "ann"`).

    Args:
        recipe: a checked recipe.
        run: an empty run directory, or with `resume` that of an interrupted training.
        observer: called as the training proceeds.
        resume: start from the newest checkpoint, or from the beginning if there is none.
        stop: called after each batch, in training and in validation; once it returns true, the
            training ends after the current step, writes a checkpoint and returns None.
        processes: the rank of this process and the number of processes; rank 0 writes files.
        data: the data set of the recipe, if it is already loaded.

    Raises:
        ConfigError: with `resume`, the recipe is not that of the run.
        AsnnError: the data cannot be loaded, the run cannot be written or is already running, the
            loss is not finite, or another process has ended.
    """
    with _locked(run, processes, resume=resume):
        if resume:
            check_resumable(recipe, run, processes)
        try:
            training = prepare(recipe, run, processes, data)
            if processes.first:
                training.config = _write_config(recipe, run, resume)
        except BaseException:
            _remove_empty_run_dir(run, processes)
            raise
        if needs_counterpart(training) and not _train_ann_counterpart(training, observer, stop):
            return None
        training.method.load(training)
        if not (resume and restore_latest(training)) and training.waits:
            _begin(training, resume)
        if processes.first and not run.environment.exists():
            write_json(run.environment, environment(training))
        join_gradients(training)
        training.saved = time.monotonic(), training.progress.step
        logs = Logs(observer, training.logs if processes.first else {})
        summary = None
        try:
            logs.started(training)
            summary = _train_epochs(training, logs, stop)
        except Stopped:
            pass
        finally:
            logs.ended(training, summary)
        return summary


def _write_config(recipe: Recipe, run: Run, resume: bool) -> bytes:
    """Write the configuration of a new run; return that of a new or resumed one."""
    if not resume:
        write_text(run.config, recipe.toml())
    with contextlib.suppress(FileNotFoundError):
        return read_regular(run.config, max_size=MAX_TOML)
    return b""


def _begin(training: Training, resume: bool) -> None:
    """Begin the first stage of a training that has waited, from its start if it has one."""
    if needs_start(training):
        begin_from_start(training)
        if resume and training.run.environment.exists():
            require_same_start(training, read_environment(training))
    begin_stage(training)


def _keep_start(training: Training, observer: Observer, stop: Callable[[], bool]) -> None:
    """Validate the weights that the training starts from, and keep them as the best so far.

    Raises:
        Stopped: `stop` returned true.
    """

    def in_validation() -> None:
        if _stop_requested(training, stop):
            raise Stopped  # a resumed training makes the start again

    metrics = validate_start(training, in_validation)
    require_finite(metrics["validation_loss"], 0)
    training.progress.history.append(metrics)
    _save_epoch(training, improved=_keep_best(training, metrics))
    observer.epoch_done(training, metrics)


def _train_epochs(
    training: Training, observer: Observer, stop: Callable[[], bool]
) -> dict[str, Any]:
    """Train the current and all later epochs; return the summary.

    Raises:
        Stopped: `stop` returned true; a checkpoint has been written.
    """
    run, progress = training.run, training.progress
    metric = training.task.primary
    if training.start is not None and not progress.history:
        _keep_start(training, observer, stop)

    def in_validation() -> None:
        if _stop_requested(training, stop):
            save_and_stop(training)
        save_if_due(training)

    while not is_finished(training):
        train_epoch(training, observer, stop)
        metrics = validate(training, in_validation)
        require_finite(metrics["validation_loss"], progress.step)
        progress.times.append(epoch_times(training))
        if training.recipe.train.statistics:
            progress.statistics.append(epoch_statistics(training))
        progress.history.append(metrics)
        progress.close_epoch()
        improved = _keep_best(training, metrics)
        stage, early = progress.stage, training.method.ends(training, metrics)
        close_stage(training, early=early)
        _save_epoch(training, improved=improved)
        observer.epoch_done(training, metrics)
        left = not is_finished(training)
        if _stop_requested(training, stop) and left:
            raise Stopped
        if left and progress.stage > stage:
            begin_stage(training)
            join_gradients(training)
    if training.processes.first and progress.epoch:
        trained = [metrics for metrics in progress.history if metrics["epoch"]]
        _draw(training, run.curves, trained, metric)
    return write_results(training, finished=True)


def _draw(training: Training, path: Path, history: list[dict[str, Any]], metric: Metric) -> None:
    """Draw the curves; a training does not fail because of a picture."""
    best = training.progress.best
    try:
        draw_curves(
            path,
            history,
            metric,
            title=path.parent.name,
            best=None if best is None else best["epoch"],
            spikes=has_spikes(training.model),
        )
    except Exception as error:
        if isinstance(error, ImportError):
            error = missing_package(error)
        warnings.warn(f"{path.name} is not drawn: {error}", stacklevel=2)


def _keep_best(training: Training, metrics: dict[str, Any]) -> bool:
    """Keep the weights if they are the best of their stage; return whether they are."""
    progress = training.progress
    if not _is_best(progress.best, metrics, training.task.primary):
        return False
    progress.best = metrics
    training.best = model_bytes(training.result, labels=training.data.classes)
    return True


def _save_epoch(training: Training, *, improved: bool) -> None:
    """Write the checkpoint of an epoch, then new weights, then the results with their checksum.

    A kill in between leaves weights that the summary or a checkpoint states: `Run.own_weights`.
    """
    save(training)
    if improved and training.processes.first and has_result(training):
        assert training.best is not None
        write_bytes(training.run.model, training.best)
    write_results(training, finished=False)


def _is_best(best: dict[str, Any] | None, metrics: dict[str, Any], metric: Metric) -> bool:
    """Return whether an epoch is the best of its stage so far."""
    if best is None or best.get("stage") != metrics.get("stage"):
        return True
    return rank(metrics, metric) > rank(best, metric)


def _train_ann_counterpart(
    training: Training, observer: Observer, stop: Callable[[], bool]
) -> bool:
    """Train the ANN counterpart, or resume its training; return whether it is finished."""
    processes, run = training.processes, ann_counterpart_run(training.run)
    finished, begun = processes.from_first(lambda: (run.finished, run.config.exists()))
    if finished:
        return True
    if processes.first:
        run.path.mkdir(exist_ok=True)
    summary = train(
        ann_counterpart(training.recipe, training.model.coding),
        run,
        observer,
        resume=begun,
        stop=stop,
        processes=processes,
        data=training.data,
    )
    return summary is not None


@contextlib.contextmanager
def _locked(run: Run, processes: Processes, *, resume: bool) -> Iterator[None]:
    """Lock the folder of a run in the first process; what that finds in it is refused in all."""
    with contextlib.ExitStack() as held:

        def lock() -> None:
            why = "two at once would write over each other"
            held.enter_context(folder_lock(run.path, "a training", why))
            require_writable(run.path, remedy=COPY if resume else "")
            remove_partial_writes(run.path)
            if not resume and run.config.exists():  # since the folder was made
                require_empty(run.path)

        processes.from_first(lock)
        yield


def _remove_empty_run_dir(run: Run, processes: Processes) -> None:
    """Remove the run directory if nothing has been written to it."""
    if processes.first:
        with contextlib.suppress(OSError):
            run.path.rmdir()


def _stop_requested(training: Training, stop: Callable[[], bool]) -> bool:
    """Return whether any process was asked to stop."""
    return training.processes.summed(float(stop()))[0] > 0
