"""Resuming a run: its own configuration, its own data, its newest valid checkpoint."""

from __future__ import annotations

import warnings
from typing import Any

from ...core.errors import ConfigError, DataError
from ...core.files import write_text
from ...core.text import shell
from ...records.layout import Run
from ..environment import require_same_inputs, warn_if_environment_changed
from ..processes import ALONE, Processes
from ..recipe.checking import check_recipe
from ..recipe.schema import SECTIONS, Recipe, read_document
from ..results import truncate_results
from ..stages import is_out_of_patience
from ..training import Training
from .content import newest_checkpoint, restore

# Keys that may change when a run is resumed, each with the effect on the weights compared with a
# training that was never interrupted.
EPOCHS, PATIENCE = "train.epochs", "train.patience"
LONGER = (EPOCHS, PATIENCE)  # with which a finished run may be trained for longer
RESUMABLE_KEYS = {
    EPOCHS: "the learning rate now follows the new number",
    PATIENCE: "",
    "train.log": "",
    "train.device": "",
    "train.workers": "",
    "train.checkpoint_steps": "",
    "train.checkpoint_minutes": "",
    "data.dir": "",
    "data.path": "",
    "data.test_path": "",
    "data.target_images": "",
    "data.download": "",
}


def former_document(run: Run) -> dict[str, Any]:
    """Return the tables of a run's configuration, unchecked, with keys that older versions lacked.

    Raises:
        DataError: it cannot be read.
        ConfigError: it is not TOML.
    """
    document = read_document(run.config)
    if isinstance(document.get("train"), dict):
        document["train"].setdefault("decay_all", True)  # without the key, all decayed
    return document


def differences(then: Recipe, now: Recipe) -> dict[str, tuple[Any, Any]]:
    """Return the keys that differ, each with both values; None for a value that is not set."""
    old, new = then.document(), now.document()
    return {
        f"{section}.{key}": (old[section].get(key), new[section].get(key))
        for section in SECTIONS
        for key in sorted({*old[section], *new[section]})
        if old[section].get(key) != new[section].get(key)
    }


def require_same_training(former: dict[str, Any], recipe: Recipe, *, source: str) -> dict[str, str]:
    """Return the changes of resumable keys from a former configuration; refuse all others.

    Args:
        former: document of a recipe.
        recipe: the present recipe.
        source: name of the former configuration in messages.

    Raises:
        ConfigError: other keys differ; the message lists all of them.
    """
    table = former.get("train", {})
    if not isinstance(table, dict):
        raise ConfigError(f"{source}: train is not a table")
    # The former device may not exist on this machine, and does not change the training.
    device = str(table.get("device", recipe.train.device))
    table = {**table, "device": recipe.train.device}
    then = check_recipe({**former, "train": table}, source=f"the former configuration {source}")
    changed = {
        key: f"{_text(old)} → {_text(new)}" for key, (old, new) in differences(then, recipe).items()
    }
    if device != recipe.train.device:
        changed["train.device"] = f"{device!r} → {recipe.train.device!r}"
    refused = [f"{key}: {change}" for key, change in changed.items() if key not in RESUMABLE_KEYS]
    if refused:
        raise ConfigError(
            "a training resumes with the configuration that it began with",
            why="\n".join(refused),
            remedy="leave these out, or train anew without --resume; "
            f"what may change: {', '.join(RESUMABLE_KEYS)}",
        )
    return changed


def restore_latest(training: Training) -> bool:
    """Restore the newest valid checkpoint of the run; return whether there is one.

    Without one the training begins anew.

    Raises:
        ConfigError: the configuration differs from that of the checkpoint, or has fewer epochs
            than are done.
        DataError: no checkpoint is valid, or the data or other inputs have changed.
    """
    run, recipe = training.run, training.recipe
    changed = check_resumable(recipe, run, training.processes)
    checkpoint = training.processes.from_first(lambda: newest_checkpoint(run))
    if checkpoint is not None:
        former = checkpoint.content.get("recipe")
        if isinstance(former, dict):  # format 1 does not have it
            changed |= require_same_training(former, recipe, source=str(checkpoint.folder))
        if "data" in checkpoint.content:
            require_same_inputs(training, checkpoint.content)
    # A kill may have come before environment.json was written.
    if training.processes.first and run.environment.exists():
        warn_if_environment_changed(training)
    if checkpoint is not None:
        restore(training, checkpoint)
    elif run.metrics.exists():
        raise DataError(
            f"{run.path} has lost its checkpoints",
            why=f"{run.metrics.name} has epochs, {run.checkpoints} has no checkpoint",
            remedy=f"restore it, or train anew: asnn train {shell(run.config)}",
        )
    done = training.progress.epoch + (training.progress.batch > 0)
    if recipe.train.epochs < done:
        raise ConfigError(
            f"{EPOCHS} is {recipe.train.epochs}",
            why=f"{run.path} is in its epoch {done} already",
            remedy=f"give at least {done}",
        )
    if EPOCHS in changed and checkpoint is not None:
        _require_ended_stages(training, checkpoint.content["recipe"]["train"]["epochs"])
    if EPOCHS in changed and is_out_of_patience(training):
        raise ConfigError(
            f"{run.path} has stopped early, after epoch {training.progress.epoch}",
            why=f"{PATIENCE} is {recipe.train.patience}: more epochs change nothing",
            remedy=f"set {PATIENCE} to a greater number too",
        )
    if training.processes.first:
        _accept_changes(training, changed)
    return checkpoint is not None


def _require_ended_stages(training: Training, epochs: int) -> None:
    """Refuse another number of epochs of a stage that has ended.

    Args:
        epochs: those of all stages with which the run was trained so far.
    """
    ended = training.progress.stage
    if not ended:
        return
    then = training.method.stages(epochs)
    done = [line.get("stage") for line in training.progress.history]
    for number, stage in enumerate(then[:ended]):
        name, trained = stage.name, done.count(stage.name)
        others = training.stages[number:]
        now = others[0].epochs if others and others[0].name == name else 0
        if now != stage.epochs == trained:  # one that ended early did not need its epochs
            raise ConfigError(
                f"stage {name!r} of {training.run.path} has ended",
                why=f"its epochs were {trained}, and would be {now} with {EPOCHS} = "
                f"{training.recipe.train.epochs}",
                remedy=f"leave {EPOCHS} at {epochs}, or train anew without --resume",
            )


def _accept_changes(training: Training, changed: dict[str, str]) -> None:
    """Warn of changed keys, and write the configuration that has them."""
    run, recipe = training.run, training.recipe
    for key, change in changed.items():
        effect = f": {RESUMABLE_KEYS[key]}" if RESUMABLE_KEYS[key] else ""
        warnings.warn(f"changed since the run began: {key} {change}{effect}", stacklevel=4)
    if changed:
        write_text(run.config, recipe.toml())
        training.config = recipe.toml().encode()
    if changed or (run.finished and training.progress.epoch < recipe.train.epochs):
        truncate_results(training)  # now the run is unfinished and can be resumed


def check_resumable(recipe: Recipe, run: Run, processes: Processes = ALONE) -> dict[str, str]:
    """Return the changes of resumable keys from the run's configuration; refuse all others.

    Raises:
        ConfigError: other keys differ.
    """

    def changes() -> dict[str, str]:
        if not run.config.exists():
            return {}
        return require_same_training(former_document(run), recipe, source=str(run.config))

    return processes.from_first(changes)


def _text(value: Any) -> str:
    return "not set" if value is None else repr(value)
