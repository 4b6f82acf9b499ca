"""The training loop, from a recipe to a run directory, top to bottom."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from ..core.errors import AsnnError
from ..core.files import write_json, write_text
from ..core.runs import Run
from ..datasets import Augment, Batches, DataSet, load_dataset
from ..measure.evaluation import evaluate
from ..measure.spikes import SpikeRates
from ..models.factory import create_model
from ..models.network import SpikingNetwork
from ..models.saved import save_model
from .checkpoint import Progress, load_checkpoint, save_checkpoint
from .curves import draw_curves
from .device import derived_seed, environment, find_device, mixed_precision
from .losses import loss_of
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
    progress: Progress
    batches_per_epoch: int

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
        training.progress = load_checkpoint(
            run, training.model, training.optimizer, training.scaler
        )
    else:
        write_text(run.config, recipe.toml())
    write_json(run.environment, {**environment(training.device), "data": _describe(training.data)})
    observer.started(training)

    progress = training.progress
    for _ in range(progress.epoch, recipe.train.epochs):
        begin = time.perf_counter()
        finished = train_epoch(training, observer, stop)
        progress.seconds += time.perf_counter() - begin
        if not finished:
            save_checkpoint(run, training.model, training.optimizer, training.scaler, progress)
            return None
        metrics = _validate(training, time.perf_counter() - begin)
        progress.close_epoch()
        progress.history.append(metrics)
        if progress.best is None or _rank(metrics) > _rank(progress.best):
            progress.best = metrics
            save_model(run.model, training.model, labels=training.data.classes)
        save_checkpoint(run, training.model, training.optimizer, training.scaler, progress)
        _write_results(training, finished=False)
        observer.epoch_done(training, metrics)
    summary = _write_results(training, finished=True)
    draw_curves(run.curves, progress.history)
    return summary


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
    training = Training(
        recipe=recipe,
        run=run,
        device=device,
        data=data,
        model=model,
        optimizer=make_optimizer(recipe.train, model),
        scaler=torch.amp.GradScaler(device.type, enabled=recipe.train.precision == "float16"),
        progress=Progress(),
        batches_per_epoch=0,
    )
    training.batches_per_epoch = len(training_batches(training))
    return training


def train_epoch(training: Training, observer: Observer, stop: Callable[[], bool]) -> bool:
    """Train from where the open epoch stands to its end; return whether the end was reached."""
    recipe, progress, model = training.recipe, training.progress, training.model
    settings = recipe.train
    model.train()
    rate = 0.0
    for x, targets in training_batches(training):
        # What the network draws (a rate code, dropout) depends on the place in the training alone.
        torch.manual_seed(derived_seed(settings.seed, progress.epoch, progress.batch))
        for group in training.optimizer.param_groups:
            group["lr"] = learning_rate(settings, progress.step, training.batches_per_epoch)
        with mixed_precision(training.device, settings.precision):
            if progress.batch % RATE_EVERY == 0:
                with SpikeRates(model) as rates:
                    logits = model(x)
                rate = rates.mean()
            else:
                logits = model(x)
            loss = loss_of(settings.loss, logits, targets, settings.label_smoothing)
        training.optimizer.zero_grad()
        training.scaler.scale(loss).backward()
        if settings.clip_norm is not None:
            training.scaler.unscale_(training.optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        training.scaler.step(training.optimizer)
        training.scaler.update()

        value = loss.item()
        if value != value or abs(value) == float("inf"):
            raise AsnnError(
                f"the loss is {value} at step {progress.step}",
                why="training has diverged",
                remedy="lower train.lr, or set train.clip_norm=1.0",
            )
        with torch.no_grad():
            right = logits.mean(0).argmax(1) == targets.first
        progress.batch += 1
        progress.step += 1
        progress.seen += len(x)
        progress.loss += value * len(x)
        progress.correct += float(right.sum())
        observer.batch_done(
            training, progress.loss / progress.seen, progress.correct / progress.seen, rate
        )
        if stop() and progress.batch < training.batches_per_epoch:
            return False
    return True


def training_batches(training: Training) -> Batches:
    """Return the batches of the open epoch, from where it stands."""
    recipe, progress = training.recipe, training.progress
    seed = derived_seed(recipe.train.seed, progress.epoch)
    return Batches(
        training.data.train,
        batch_size=recipe.train.batch_size,
        full_scale=training.data.full_scale,
        device=training.device,
        shuffle=True,
        generator=torch.Generator().manual_seed(seed),
        augment=Augment(**recipe.augment.options()),
        epoch=progress.epoch,
        workers=recipe.train.workers,
        start=progress.batch,
    )


def make_optimizer(train: TrainSection, model: torch.nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of a recipe; the learning rate is set at each step."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if train.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, train.lr, momentum=train.momentum, weight_decay=train.weight_decay
        )
    kind = torch.optim.Adam if train.optimizer == "adam" else torch.optim.AdamW
    return kind(parameters, train.lr, weight_decay=train.weight_decay)


def _validate(training: Training, seconds: float) -> dict[str, Any]:
    progress, settings = training.progress, training.recipe.train
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
        "epoch": progress.epoch + 1,
        "step": progress.step,
        "lr": learning_rate(settings, progress.step - 1, training.batches_per_epoch),
        "train_loss": progress.loss / progress.seen,
        "train_accuracy": progress.correct / progress.seen,
        "validation_loss": result.loss,
        "validation_accuracy": result.accuracy,
        "spike_rate": result.spike_rate,
        "seconds": round(seconds, 3),
    }


def _rank(metrics: dict[str, Any]) -> tuple[float, float]:
    return metrics["validation_accuracy"], -metrics["validation_loss"]


def _write_results(training: Training, *, finished: bool) -> dict[str, Any]:

    progress = training.progress
    summary = {
        "finished": finished,
        "recipe": training.recipe.name,
        "seed": training.recipe.train.seed,
        "device": str(training.device),
        "parameters": training.parameters,
        "seconds": round(progress.seconds, 3),
        "best": progress.best,
        "last": progress.history[-1],
    }
    lines = "".join(json.dumps(metrics) + "\n" for metrics in progress.history)
    write_text(training.run.metrics, lines)
    write_json(training.run.summary, summary)
    return summary


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
