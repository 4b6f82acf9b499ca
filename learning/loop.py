"""The training loop, from a recipe to a run directory, top to bottom."""

from __future__ import annotations

import copy
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from ..core.errors import AsnnError, ConfigError, DataError
from ..core.files import write_json, write_text
from ..core.runs import Run
from ..datasets import Augment, Batches, DataSet, load_dataset
from ..measure.evaluation import evaluate
from ..measure.pictures import draw_curves
from ..measure.spikes import SpikeRates
from ..models.factory import create_model
from ..models.layers import use_kernels, used_kernels
from ..models.network import SpikingNetwork
from ..models.saved import save_model
from .checkpoint import Position, load_checkpoint, save_checkpoint
from .device import derived_seed, environment, find_device, mixed_precision
from .losses import OF_THE_MEAN, loss_of
from .recipe import Recipe, TrainSection
from .schedule import learning_rate

RATE_EVERY = 20  # batches between two measurements of the spike rate


class Observer(Protocol):
    """Who is told how a training goes."""

    def started(self, training: Training) -> None:
        """All is loaded and built; training begins or goes on."""

    def batch_done(self, training: Training, loss: float, accuracy: float, rate: float) -> None:
        """A step is made; loss and accuracy are those of the open epoch so far."""

    def epoch_done(self, training: Training, metrics: dict[str, Any]) -> None:
        """An epoch is validated and saved."""


@dataclass
class Training:
    """All that takes part in one training."""

    recipe: Recipe
    run: Run
    device: torch.device
    data: DataSet
    model: SpikingNetwork
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    position: Position
    batches_per_epoch: int
    waited: float = 0.0  # seconds that the open epoch has waited for data

    @property
    def parameters(self) -> int:
        """Number of values that are learned."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)


def train(
    recipe: Recipe,
    run: Run,
    observer: Observer,
    *,
    resume: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """Train a recipe and write its run directory; return the summary.

    Validation data chooses the best weights; the test split is not touched.

    Args:
        recipe: a checked recipe.
        run: an empty run directory, or with `resume` one whose training was interrupted.
        observer: is told how it goes.
        resume: go on from the newest training state.
        stop: asked after each step; once true, the state is saved and None returned.

    Raises:
        AsnnError: the data cannot be had, the run cannot be written, or the loss is not finite.
    """
    training = prepare(recipe, run)
    if resume:
        training.position = load_checkpoint(
            run, training.model, training.optimizer, training.scaler
        )
        if run.environment.exists():  # a kill may have come before it was written
            _compare_with_former_sitting(training)
    else:
        write_text(run.config, recipe.toml())
    if not run.environment.exists():
        write_json(run.environment, _surroundings(training))
    observer.started(training)

    position = training.position
    for _ in range(position.epoch, recipe.train.epochs):
        begin = time.perf_counter()
        finished = train_epoch(training, observer, stop)
        position.seconds += time.perf_counter() - begin
        if not finished:
            save_checkpoint(run, training.model, training.optimizer, training.scaler, position)
            return None
        metrics = _validate(training, time.perf_counter() - begin)
        _require_finite(metrics["validation_loss"], position.step)
        position.close_epoch()
        position.history.append(metrics)
        if position.best is None or _rank(metrics) > _rank(position.best):
            position.best = metrics
            save_model(run.model, training.model, labels=training.data.classes)
        save_checkpoint(run, training.model, training.optimizer, training.scaler, position)
        _write_results(training, finished=False)
        observer.epoch_done(training, metrics)
        if stop() and position.epoch < recipe.train.epochs:
            return None
    draw_curves(run.curves, position.history)
    return _write_results(training, finished=True)


def prepare(recipe: Recipe, run: Run) -> Training:
    """Load the data and build the network and its optimiser.

    Raises:
        AsnnError: the data cannot be had, or the network does not fit it.
    """
    device = find_device(recipe.train.device)
    data = load_dataset(
        recipe.data.name,
        validation=recipe.data.validation,
        test=recipe.data.test,
        limit=recipe.data.limit,
        **recipe.data.options(),
    )
    mean, std = data.moments()
    torch.manual_seed(derived_seed(recipe.train.seed))
    model = create_model(
        **recipe.model_arguments(),
        in_shape=data.in_shape,
        classes=len(data.classes),
        mean=mean,
        std=std,
    ).to(device)
    use_kernels(model, recipe.train.kernels)
    training = Training(
        recipe=recipe,
        run=run,
        device=device,
        data=data,
        model=model,
        optimizer=make_optimizer(recipe.train, model),
        scaler=torch.amp.GradScaler(device.type, enabled=recipe.train.precision == "float16"),
        position=Position(),
        batches_per_epoch=0,
    )
    training.batches_per_epoch = len(training_batches(training))
    if min(recipe.train.batch_size, len(data.train)) == 1:
        _try_single_sample(training)
    return training


def train_epoch(training: Training, observer: Observer, stop: Callable[[], bool]) -> bool:
    """Train from where the open epoch stands to its end; return whether the end was reached."""
    recipe, position, model = training.recipe, training.position, training.model
    settings = recipe.train
    model.train()
    rate = 0.0
    for x, targets in _timed(training_batches(training), training):
        # What the network draws (a rate code, dropout) depends on the place in the training alone.
        torch.manual_seed(derived_seed(settings.seed, position.epoch, position.batch))
        for group in training.optimizer.param_groups:
            group["lr"] = learning_rate(settings, position.step, training.batches_per_epoch)
        with mixed_precision(training.device, settings.precision):
            if position.batch % RATE_EVERY == 0:
                with SpikeRates(model) as rates:
                    logits = _logits(training, x)
                rate = rates.mean()
            else:
                logits = _logits(training, x)
            loss = loss_of(settings.loss, logits, targets, settings.label_smoothing)
        training.optimizer.zero_grad()
        training.scaler.scale(loss).backward()
        if settings.clip_norm is not None:
            training.scaler.unscale_(training.optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        training.scaler.step(training.optimizer)
        training.scaler.update()

        value = loss.item()
        _require_finite(value, position.step)
        with torch.no_grad():
            answers = logits.mean(0).argmax(1)
        right, also = (float((answers == y).sum()) for y in (targets.first, targets.second))
        position.batch += 1
        position.step += 1
        position.seen += len(x)
        position.loss += value * len(x)
        position.correct += targets.weight * right + (1 - targets.weight) * also
        observer.batch_done(
            training, position.loss / position.seen, position.correct / position.seen, rate
        )
        if stop() and position.batch < training.batches_per_epoch:
            return False
    return True


def _logits(training: Training, x: torch.Tensor) -> torch.Tensor:
    """Return the logits that the loss needs: of every step, or as one step their mean."""
    if training.recipe.train.loss in OF_THE_MEAN:
        return training.model.mean_logits(x).unsqueeze(0)
    return training.model(x)


def _timed(batches: Batches, training: Training) -> Iterator[Any]:
    """Yield batches, and add up how long they were waited for."""
    training.waited = 0.0
    begin = time.perf_counter()
    for batch in batches:
        training.waited += time.perf_counter() - begin
        yield batch
        begin = time.perf_counter()


def training_batches(training: Training) -> Batches:
    """Return the batches of the open epoch, from where it stands."""
    recipe, position = training.recipe, training.position
    seed = derived_seed(recipe.train.seed, position.epoch)
    return Batches(
        training.data.train,
        batch_size=recipe.train.batch_size,
        full_scale=training.data.full_scale,
        device=training.device,
        shuffle=True,
        generator=torch.Generator().manual_seed(seed),
        augment=Augment(**recipe.augment.options()),
        epoch=position.epoch,
        workers=recipe.train.workers,
        start=position.batch,
    )


def _try_single_sample(training: Training) -> None:
    """Refuse batches of one sample where a batch norm needs two; on a copy, for it changes it."""
    image = torch.zeros(1, *training.data.in_shape, device=training.device)
    try:
        copy.deepcopy(training.model).train()(image)
    except ValueError as error:
        raise ConfigError(
            "batches of one sample cannot train this network",
            why=f"batch norm needs more than one value to normalise: {error}",
            remedy="raise train.batch_size or data.limit, or use model.norm=folded",
        ) from error


def make_optimizer(train: TrainSection, model: torch.nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of a recipe; the learning rate is set at each step."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    fused = parameters[0].device.type in ("cpu", "cuda", "mps")  # one loop over all parameters
    if train.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            train.lr,
            momentum=train.momentum,
            weight_decay=train.weight_decay,
            fused=fused,
        )
    kind = torch.optim.Adam if train.optimizer == "adam" else torch.optim.AdamW
    return kind(parameters, train.lr, weight_decay=train.weight_decay, fused=fused)


def _validate(training: Training, seconds: float) -> dict[str, Any]:
    position, settings = training.position, training.recipe.train
    result = evaluate(
        training.model,
        training.data.validation,
        classes=len(training.data.classes),
        full_scale=training.data.full_scale,
        batch_size=max(settings.batch_size, 256),
        device=training.device,
        workers=settings.workers,
    )
    return {
        "epoch": position.epoch + 1,
        "step": position.step,
        "lr": learning_rate(settings, position.step - 1, training.batches_per_epoch),
        "train_loss": position.loss / position.seen,
        "train_accuracy": position.correct / position.seen,
        "validation_loss": result.loss,
        "validation_accuracy": result.accuracy,
        "spike_rate": result.spike_rate,
        "seconds": round(seconds, 3),
        "data_seconds": round(training.waited, 3),
    }


def _require_finite(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise AsnnError(
            f"the loss is {loss} at step {step}",
            why="training has diverged",
            remedy="lower train.lr, or set train.clip_norm=1.0",
        )


def _rank(metrics: dict[str, Any]) -> tuple[float, float]:
    return metrics["validation_accuracy"], -metrics["validation_loss"]


def _write_results(training: Training, *, finished: bool) -> dict[str, Any]:
    position = training.position
    summary = {
        "finished": finished,
        "recipe": training.recipe.name,
        "seed": training.recipe.train.seed,
        "device": str(training.device),
        "kernels": used_kernels(training.model),
        "parameters": training.parameters,
        "seconds": round(position.seconds, 3),
        "best": position.best,
        "last": position.history[-1],
    }
    lines = "".join(json.dumps(metrics, allow_nan=False) + "\n" for metrics in position.history)
    write_text(training.run.metrics, lines)
    write_json(training.run.summary, summary)
    return summary


def _surroundings(training: Training) -> dict[str, Any]:
    return {**environment(training.device), "data": _describe(training.data)}


def _compare_with_former_sitting(training: Training) -> None:
    """Refuse to go on with other data; warn where the promise of equal weights ends."""
    path = training.run.environment
    try:
        former = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read", why=str(error)) from error
    now = _surroundings(training)
    if former.get("data") != now["data"]:
        raise DataError(
            f"the data are not those that {training.run.path} began with",
            why=f"then {former.get('data')}, now {now['data']}",
            remedy="restore the data, or train anew without --resume",
        )
    keys = ("packages", "python", "threads", "device", "device_name")
    changed = [key for key in keys if former.get(key) != now[key]]
    if changed:
        warnings.warn(
            f"{', '.join(changed)} differ from when the run began: the weights will not be bit for "
            "bit those of a run that was never interrupted",
            stacklevel=2,
        )


def _describe(data: DataSet) -> dict[str, Any]:
    return {
        "name": data.name,
        "fingerprint": data.fingerprint,
        "train": len(data.train),
        "validation": len(data.validation),
        "test": len(data.test),
        "shape": list(data.in_shape),
        "classes": len(data.classes),
    }
