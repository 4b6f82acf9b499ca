"""The metrics of an epoch, and the files of a run that hold them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from typing import Any

from ..core.documents import plain_tables, read_toml
from ..core.errors import AsnnError
from ..core.files import write_json, write_text
from ..core.metric import Metric
from ..measure.evaluation import evaluate
from ..models.layers.spiking import used_kernels
from ..models.network import SpikingNetwork
from ..records.layout import FORMAT
from .monitoring.statistics import mean_statistics
from .schedule import learning_rate
from .stages import early_stop, has_result
from .training import Training


def validate(training: Training, each_batch: Callable[[], None]) -> dict[str, Any]:
    """Return the metrics of the current epoch, after its last batch.

    They depend on recipe and data alone; times are in `epoch_times`.

    Args:
        each_batch: called before each batch of validation data; an exception ends the validation.
    """
    progress, settings, task = training.progress, training.recipe.train, training.task
    stage = training.stage
    lr = learning_rate(
        settings, progress.stage_step - 1, training.steps_per_epoch, stage.epochs, stage.lr
    )
    return {
        "epoch": progress.epoch + 1,
        **({"stage": stage.name} if len(training.stages) > 1 else {}),
        "step": progress.step,
        "lr": lr,
        "train_loss": progress.loss / progress.seen,
        f"train_{task.primary.name}": progress.score / progress.seen,
        **_on_validation_data(training, training.method.validated(training), each_batch),
    }


def validate_start(training: Training, each_batch: Callable[[], None]) -> dict[str, Any]:
    """Return the metrics of the weights that a training starts from: epoch 0.

    Args:
        each_batch: as of `validate`.
    """
    found = _on_validation_data(training, training.result, each_batch)
    return {"epoch": 0, "step": 0, **found}


def _on_validation_data(
    training: Training, network: SpikingNetwork, each_batch: Callable[[], None]
) -> dict[str, Any]:
    settings = training.recipe.train
    # Batch norm statistics differ between processes; those of the first are saved.
    training.processes.same_weights(training.result)
    result = evaluate(
        network,
        training.data.validation,
        task=training.task,
        full_scale=training.data.full_scale,
        batch_size=max(settings.batch_size, 256),
        device=training.device,
        workers=settings.workers,
        each_batch=each_batch,
        part=training.processes.part,
    )
    return {
        "validation_loss": result.loss,
        **{f"validation_{name}": result.values[name] for name in training.task.tracked},
        "spike_rate": result.spike_rate,
        **({"divergence": sum(result.divergence.values())} if result.divergence else {}),
    }


def epoch_times(training: Training) -> dict[str, Any]:
    """Return the training time of the current epoch, over all sessions, without validation."""
    progress = training.progress
    return {
        "epoch": progress.epoch + 1,
        "seconds": round(progress.epoch_seconds, 3),
        "data_seconds": round(progress.data_wait_seconds, 3),
    }


def epoch_statistics(training: Training) -> dict[str, Any]:
    """Return the means of the norms of gradients, weights and updates in the current epoch."""
    progress = training.progress
    return {"epoch": progress.epoch + 1, "layers": mean_statistics(progress.statistic_sums)}


class Diverged(AsnnError):
    """The loss is not finite."""


def require_finite(loss: float, step: int) -> None:
    """Raise `Diverged` if a loss is not finite."""
    if not math.isfinite(loss):
        raise Diverged(
            f"the loss is {loss} at step {step}",
            why="training has diverged",
            remedy="lower train.lr, or set train.clip_norm=1.0",
        )


def rank(metrics: dict[str, Any], metric: Metric) -> tuple[float, float]:
    """Return the rank of the primary metric and the negative loss on validation data: the best
    epoch has the greatest pair."""
    return metric.rank(metrics[f"validation_{metric.name}"]), -metrics["validation_loss"]


def write_results(training: Training, *, finished: bool) -> dict[str, Any]:
    """Write metrics, times and summary of all complete epochs; return the summary."""
    progress = training.progress
    summary = {
        "format": FORMAT,
        "finished": finished,
        "recipe": training.recipe.name,
        "seed": training.recipe.train.seed,
        "metric": training.task.primary.document(),
        "device": str(training.device),
        "kernels": kernels_of(training),
        "parameters": training.size,
        "frozen_parameters": training.frozen_parameters,
        "seconds": round(progress.seconds, 3),
        "best": progress.best,
        "last": progress.history[-1],
        "stopped_early": early_stop(training) if finished else None,
    }
    if training.processes.first:
        write_text(training.run.metrics, _lines(progress.history))
        write_text(training.run.times, _lines(progress.times))
        if progress.statistics:
            write_text(training.run.statistics, _lines(progress.statistics))
        summary |= _origin(training)
        write_json(training.run.summary, summary)
    return summary


def kernels_of(training: Training) -> str | None:
    """Return which kernels computed the network; None if it has no spiking layer."""
    # A conversion has computed only the frozen copy, in its validation.
    return used_kernels(training.model) or used_kernels(training.result.frozen())


def _origin(training: Training) -> dict[str, Any]:
    """Return what later tells whether weights and configuration are those of the training."""
    run = training.run
    found: dict[str, Any] = {"sha256": {}}
    if has_result(training):
        assert training.best is not None
        found["sha256"][run.model.name] = hashlib.sha256(training.best).hexdigest()
    if training.config:
        found["sha256"][run.config.name] = hashlib.sha256(training.config).hexdigest()
        found["config"] = plain_tables(read_toml(training.config.decode()))
    return found


def truncate_results(training: Training) -> None:
    """Rewrite the results of a resumed run to the epochs of its checkpoint."""
    if training.progress.history:
        write_results(training, finished=False)
        return
    run = training.run
    for path in (run.summary, run.metrics, run.times, run.statistics):
        path.unlink(missing_ok=True)


def _lines(records: list[dict[str, Any]]) -> str:
    return "".join(
        json.dumps({"format": FORMAT, **record}, allow_nan=False) + "\n" for record in records
    )
