"""`asnn eval`: what a trained network does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from . import console
from .run_data import load_data, read_recipe

STEPS_A_TABLE = 7  # what fits 80 columns
MOST_CLASSES_SHOWN = 10


def evaluate_run(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="RUN", help="Folder of a run.", show_default="the newest"),
    ] = None,
    split: Annotated[str, typer.Option(help="test, validation or train.")] = "test",
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", help="Use the first steps only: an early answer.", show_default="all"
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Samples at a time.")] = 256,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Where the data set's files are.", show_default="as in training"),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="data.KEY=VALUE",
            help="Where the data are now, such as data.path=images.zip. Repeatable.",
        ),
    ] = None,
    held: Annotated[
        str,
        typer.Option(
            "--schedules",
            help="learned, or mean: each held at its mean over the steps.",
        ),
    ] = "learned",
    anew: Annotated[
        bool,
        typer.Option(
            "--recalibrate",
            help="Estimate the statistics of batch norms anew, on training data.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object.")
    ] = False,
) -> None:
    """Evaluate a trained network: accuracy by step, confusion, spikes, learned schedules.

    Examples:

    asnn eval

    asnn eval runs/digits-20260101-120000 --split validation --steps 2

    asnn eval --schedules mean --recalibrate

    asnn eval --json | jq .accuracy
    """
    from ..core.registry import unknown
    from ..core.runs import find_run
    from ..learning.device import find_device
    from ..measure import averaged, evaluate, schedules
    from ..models.layers import use_kernels, used_kernels
    from ..models.saved import load_model
    from .together import together

    if held not in ("learned", "mean"):
        raise unknown("schedules", held, ["learned", "mean"])
    with together() as processes:
        found = find_run(run)
        where = processes.device(find_device(device))
        model = load_model(found.model).to(where)
        total = model.coding.steps
        _check_steps(steps, total)
        recipe = read_recipe(found, data_dir, changes)
        # A run may come from a machine that could do more: only the reference is insisted on.
        use_kernels(model, "reference" if recipe.train.kernels == "reference" else "auto")
        data = processes.in_turn(lambda: load_data(recipe, found, model))
        if held == "mean":
            model = averaged(model)
        if anew:
            _recalibrate(model, data, batch_size, where)
        if not as_json:
            console.note(f"evaluating {found.path} on {split} data ({where})")
        result = evaluate(
            model,
            data.split(split),
            classes=len(data.classes),
            full_scale=data.full_scale,
            batch_size=batch_size,
            device=where,
            steps=steps,
            part=processes.part,
        )
        learned = schedules(model)
        if as_json:
            console.print_json(
                {
                    "run": str(found.path),
                    "data": data.name,
                    "split": split,
                    "fingerprint": data.fingerprint,
                    "steps": steps or total,
                    "coding": recipe.coding.name,
                    "device": str(where),
                    "kernels": used_kernels(model.frozen()),
                    "classes": data.classes,
                    **result.as_dict(),
                    "schedules": learned,
                    "schedules_held": held,
                    "recalibrated": anew,
                }
            )
        else:
            _show(result, learned, data.classes)
        if held == "learned" and processes.first:
            _draw(found, learned, quiet=as_json)


def _recalibrate(model: Any, data: Any, batch_size: int, device: Any) -> None:
    import torch

    from ..datasets import Batches
    from ..measure import recalibrate

    batches = Batches(
        data.train,
        batch_size=batch_size,
        full_scale=data.full_scale,
        device=device,
        shuffle=True,  # for samples may lie class by class
        generator=torch.Generator().manual_seed(0),
    )
    recalibrate(model, batches)


def _check_steps(steps: int | None, total: int) -> None:
    from ..core.errors import ConfigError

    if steps is not None and not 1 <= steps <= total:
        raise ConfigError(f"--steps must be from 1 to {total}, the steps of the run, not {steps}")


def _show(result: Any, learned: dict[str, dict[str, list[float]]], classes: list[str]) -> None:
    figures: dict[str, list[str]] = {
        "accuracy so far, %": [f"{100 * value:.2f}" for value in result.accuracy_per_step]
    }
    for layer, rates in result.spike_rates.items():
        figures[f"spike rate {layer}"] = [f"{rate:.4f}" for rate in rates]
    for layer, by_name in learned.items():
        for name, values in by_name.items():
            if len(values) > 1:
                figures[f"{name} {layer}"] = [f"{value:.3f}" for value in values]
    steps = len(result.accuracy_per_step)
    for begin in range(0, steps, STEPS_A_TABLE):
        end = min(begin + STEPS_A_TABLE, steps)
        heads = [f"t={t}" for t in range(begin + 1, end + 1)]
        rows = [[name, *values[begin:end]] for name, values in figures.items()]
        console.table("by step", ["", *heads], rows)
    if len(classes) <= MOST_CLASSES_SHOWN:
        rows = [
            [name[:12], *(str(count) if count else "." for count in row)]
            for name, row in zip(classes, result.confusion, strict=True)
        ]
        heads = [name[:5] for name in classes]
        console.table("confusion: true class by row, answer by column", ["", *heads], rows)
    else:
        worst = _worst_confusions(result.confusion, classes)
        console.table("most frequent errors", ["true", "answered", "samples"], worst)
    console.heading(
        f"accuracy {console.percent(result.accuracy)} of {result.samples:,} samples, "
        f"loss {result.loss:.4f}, spike rate {result.spike_rate:.4f}, "
        f"{result.samples_per_second:,.0f} samples/s"
    )


def _worst_confusions(confusion: list[list[int]], classes: list[str]) -> list[list[str]]:
    errors = [
        (count, true, answer)
        for true, row in enumerate(confusion)
        for answer, count in enumerate(row)
        if count and answer != true
    ]
    errors.sort(key=lambda error: -error[0])
    return [[classes[true], classes[answer], str(count)] for count, true, answer in errors[:5]]


def _draw(run: Any, learned: dict[str, dict[str, list[float]]], *, quiet: bool) -> None:
    from ..core.errors import AsnnError
    from ..measure.pictures import draw_schedules

    try:
        draw_schedules(run.schedules, learned)
    except AsnnError as error:  # a run may lie on a read-only disk; its figures are told already
        console.note(f"warning: {error}")
        return
    if not quiet:
        console.note(f"schedules: {run.schedules}")
