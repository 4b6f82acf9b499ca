"""One member of a sweep: trained or resumed, then evaluated; its record is written last."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch

from ..core.documents import finite_number, read_json
from ..core.errors import ConfigError, DataError
from ..core.files import write_json
from ..core.reading import read_regular, why_unreadable
from ..core.text import shell
from ..learning.checkpoints.resume import differences
from ..learning.device import find_device, processor
from ..learning.loop import Observer, train
from ..learning.recipe.checking import check_recipe
from ..learning.recipe.schema import Recipe, read_document
from ..measure.evaluation import evaluate
from ..measure.repeats import draws
from ..records.layout import FORMAT, Run
from ..records.open_run import open_run
from .folder import RECORD


def train_member(
    recipe: Recipe, run: Run, split: str, observer: Observer, *, stop: Callable[[], bool]
) -> bool:
    """Train or resume a member of a sweep and evaluate it; return whether it is finished.

    Args:
        recipe: of the member, checked.
        run: its folder, which may be missing, empty, interrupted or finished.
        split: on which it is evaluated.
        observer: of the training.
        stop: called after each step; once it is true, a checkpoint is saved and False returned.

    Raises:
        AsnnError: the training or the evaluation failed.
    """
    if not run.finished:
        run.path.mkdir(parents=True, exist_ok=True)
        summary = train(recipe, run, observer, resume=run.config.exists(), stop=stop)
        if summary is None:
            return False
    write_json(run.path / RECORD, evaluate_member(recipe, run, split))
    return True


def evaluate_member(recipe: Recipe, run: Run, split: str) -> dict[str, Any]:
    """Return the evaluation of a finished member on a split, with figures of its training.

    Raises:
        DataError: its files or its data cannot be read, or the primary metric is not a number.
    """
    device = find_device(recipe.train.device)
    opened = open_run(run)
    model, data = opened.model.to(device), opened.data
    task = opened.task
    result = evaluate(
        model,
        data.split(split),
        task=task,
        full_scale=data.full_scale,
        batch_size=max(recipe.train.batch_size, 256),
        device=device,
        workers=recipe.train.workers,
    ).as_dict()
    result.pop("confusion", None)  # 10,000 figures for 100 classes; `asnn eval` shows them
    if finite_number(result.get(task.primary.name)) is None:
        raise DataError(
            f"the {task.primary.title} on {split} data is {result.get(task.primary.name)}",
            why="a sweep compares numbers",
            remedy=f"look at the run with: asnn eval {shell(run.path)}",
        )
    best = f"validation_{task.primary.name}"
    try:
        summary = read_json(read_regular(run.summary))
        trained = {
            "parameters": summary["parameters"],
            "training_seconds": summary["seconds"],
            "best_epoch": summary["best"]["epoch"],
            best: summary["best"][best],
        }
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{run.summary} is damaged",
            why=f"it does not state {error}" if isinstance(error, KeyError) else str(error),
            remedy=f"move {run.path} away, and train this member again",
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(
            f"{run.summary} cannot be read",
            why=why_unreadable(error),
            remedy=f"move {run.path} away, and train this member again",
        ) from error
    return {
        "format": FORMAT,
        "split": split,
        "data": data.name,
        "fingerprint": data.fingerprint,
        "coding": recipe.coding.name,
        "draws": draws(model),
        "steps": recipe.coding.steps,
        "seed": recipe.train.seed,
        "epochs": recipe.train.epochs,
        "metric": task.primary.document(),
        "tracked": list(task.tracked),
        **result,
        **trained,
        "machine": describe_machine(device),
    }


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return the hardware and software that figures of speed depend on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    return {
        "device": name,
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }


def require_same_recipe(recipe: Recipe, run: Run) -> None:
    """Refuse a folder with another training than the member's; only the device may differ.

    Raises:
        ConfigError: the configuration differs.
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
            remedy="start a new sweep in another --out, or move that folder to train it again",
        )
