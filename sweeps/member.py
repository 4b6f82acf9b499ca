"""One member of a sweep: trained, or gone on with, then evaluated; its record is written last."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch

from ..core.documents import read_json
from ..core.errors import ConfigError
from ..core.files import write_json
from ..learning.checkpoints.resume import differences
from ..learning.device import find_device, processor
from ..learning.loop import Observer, train
from ..learning.recipe.checking import check_recipe
from ..learning.recipe.schema import Recipe, read_document
from ..measure.evaluation import evaluate
from ..records.layout import FORMAT, Run
from ..records.open_run import open_run
from .folder import RECORD


def train_member(
    recipe: Recipe, run: Run, split: str, observer: Observer, *, stop: Callable[[], bool]
) -> bool:
    """Train a member of a sweep from where it stands and evaluate it; return whether it is done.

    Args:
        recipe: checked.
        run: its folder: missing, empty, interrupted or finished.
        split: what it is evaluated on.
        observer: is told how the training goes.
        stop: asked after each step; once true, the state is saved and False returned.

    Raises:
        AsnnError: it cannot be trained or evaluated.
    """
    if not run.finished:
        run.path.mkdir(parents=True, exist_ok=True)
        summary = train(recipe, run, observer, resume=run.config.exists(), stop=stop)
        if summary is None:
            return False
    write_json(run.path / RECORD, evaluate_member(recipe, run, split))
    return True


def evaluate_member(recipe: Recipe, run: Run, split: str) -> dict[str, Any]:
    """Return what a finished member does on a split, and what its training took.

    Raises:
        DataError: its files or its data cannot be read.
    """
    device = find_device(recipe.train.device)
    opened = open_run(run)
    model, data = opened.model.to(device), opened.data
    result = evaluate(
        model,
        data.split(split),
        classes=len(data.classes),
        full_scale=data.full_scale,
        batch_size=max(recipe.train.batch_size, 256),
        device=device,
        workers=recipe.train.workers,
    ).as_dict()
    del result["confusion"]  # a hundred classes have ten thousand figures; `asnn eval` tells them
    summary = read_json(run.summary.read_bytes())
    return {
        "format": FORMAT,
        "split": split,
        "data": data.name,
        "fingerprint": data.fingerprint,
        "coding": recipe.coding.name,
        "steps": recipe.coding.steps,
        "seed": recipe.train.seed,
        "epochs": recipe.train.epochs,
        **result,
        "parameters": summary["parameters"],
        "training_seconds": summary["seconds"],
        "best_epoch": summary["best"]["epoch"],
        "validation_accuracy": summary["best"]["validation_accuracy"],
        "machine": describe_machine(device),
    }


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return what the figures of speed depend on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    return {
        "device": name,
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }


def require_same_recipe(recipe: Recipe, run: Run) -> None:
    """Refuse a folder whose training is not the member's; the device may be another.

    Raises:
        ConfigError: it has another configuration.
    """
    if not run.config.exists():
        return
    document = read_document(run.config)
    document.get("train", {})["device"] = recipe.train.device
    found = check_recipe(document, source=str(run.config))
    changed = differences(found, recipe)
    if changed:
        raise ConfigError(
            f"{run.path} holds another training than the sweep's",
            why="\n".join(
                f"{key}: there {there!r}, in the sweep {here!r}"
                for key, (there, here) in changed.items()
            ),
            remedy="sweep anew in another --out, or move that folder away to train it again",
        )
