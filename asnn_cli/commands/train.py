"""`asnn train`: train a network and write its run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.text import shell
from ..terminal import completion, console, options
from ..terminal.processes import is_orphan, together

if TYPE_CHECKING:
    from ...learning import Recipe
    from ...learning.processes import Processes
    from ...records.layout import Run


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE|FILE.toml|DATA",
            help="A built-in recipe, a file, or data (a folder, .zip, .npz, .csv), for which a "
            "recipe is made; with --resume, the run to resume.",
            show_default="digits",
            autocompletion=completion.recipes_or(completion.runs, data=True),
        ),
    ] = None,
    changes: options.RecipeChanges = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the run, which must be new or empty.",
            show_default="runs/RECIPE-TIME",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Same as --set train.epochs=N.")] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", help="Same as --set train.batch_size=N.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Same as --set train.lr=X.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same as --set train.seed=N.")] = None,
    device: options.RecipeDevice = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="float32, bfloat16 or float16.",
            show_default="float32",
            autocompletion=completion.one_of(*completion.PRECISIONS),
        ),
    ] = None,
    data_dir: options.RecipeDataDir = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Resume an interrupted run: the given one, or the newest."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Check recipe, data and network, print the resolved recipe, and stop."
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one JSON object.")
    ] = False,
) -> None:
    """Train a network and write its run.

    Examples:

    asnn train

    asnn train fashion-mnist --data-dir data --epochs 10 --seed 1

    asnn train my.toml --set coding.name=direct --out runs/direct

    asnn train pictures/ --epochs 10

    asnn train --set coding.name=direct --set model.neuron=integrate --set train.init=ann

    asnn train --resume

    asnn train --resume runs/digits-20260101-120000 --epochs 60
    """
    from ...core.errors import ConfigError
    from ...learning import check_recipe, parse_override
    from ...records.create import create_run
    from ...records.layout import Run
    from ...records.record import read_record

    flags = {
        "train.epochs": epochs,
        "train.batch_size": batch_size,
        "train.lr": lr,
        "train.seed": seed,
        "train.device": device,
        "train.precision": precision,
        "data.dir": str(data_dir) if data_dir else None,
    }
    overrides = [parse_override(text) for text in changes or []]
    overrides += [(key.split("."), value) for key, value in flags.items() if value is not None]
    if resume and (out or dry_run):
        raise ConfigError(
            "--resume continues in the run's own folder",
            why=f"{'--out' if out else '--dry-run'} would make it another training",
            remedy="leave it out, or train anew without --resume",
        )
    if dry_run:
        _show_dry_run(new_recipe(recipe, overrides), as_json)
        return

    def begin() -> tuple[Path, dict[str, Any]]:
        """Return the folder of the run and its recipe; the first process decides for all."""
        if resume:
            run, checked = _resumed_run(recipe, overrides)
            return run.path, checked.document()
        checked = new_recipe(recipe, overrides)
        return create_run(out, checked.name).path, checked.document()

    with together() as processes:
        path, document = processes.from_first(begin)
        run = Run(path)
        summary = _train(check_recipe(document), run, resume, processes)
        record = read_record(run)
        metric, best = record.metric, summary["best"]
        console.note(
            f"best validation {metric.title} {metric.text(best[record.metric_key])} "
            f"in epoch {best['epoch']}; {console.duration(summary['seconds'])}"
        )
        if len(record.metric_by_epoch) > 1:
            curve = console.curve(record.metric_by_epoch)
            console.note(f"validation {metric.title} by epoch: {curve}")
        console.note(f"run: {run.path}    next: asnn eval {shell(run.path)}")
        if as_json:
            console.print_json({"run": str(run.path), **summary})


def new_recipe(name: str | None, changes: list[tuple[list[str], Any]]) -> Recipe:
    from ...core.errors import ConfigError
    from ...core.text import shell
    from ...learning import check_recipe, override
    from ..recipe_files import DEFAULT, recipe_document

    keys = {".".join(key): value for key, value in changes}
    if name is None and "data.dir" in keys and "data.name" not in keys:
        path = str(keys["data.dir"])
        raise ConfigError(
            f"--data-dir {path} goes with a recipe, and none is named",
            why=f"the recipe {DEFAULT}, the default, has no files",
            remedy=f"for your own data: asnn train {shell(path)}; for a published data set: asnn "
            f"train mnist --data-dir {shell(path)}",
        )
    name = name or DEFAULT
    document, notes = recipe_document(name, keys)
    changed, notices = override(document, changes)
    checked = check_recipe(changed, source=f"recipe {name}")
    for text in notes + notices:
        console.note(text)
    return checked


def _resumed_run(path: str | None, changes: list[tuple[list[str], Any]]) -> tuple[Run, Recipe]:
    """Return the run to resume and its recipe, with changes to keys that may change."""
    from ...learning import check_recipe, override
    from ...learning.checkpoints.resume import LONGER, former_document

    keys = [".".join(key) for key, _ in changes]
    _require_resumable(keys)
    run = _interrupted_run(path, longer=any(key in keys for key in LONGER))
    document = former_document(run)
    document.setdefault("name", run.path.name)
    changed, _ = override(document, changes)
    return run, check_recipe(changed, source=f"the configuration {run.config}")


def _require_resumable(keys: list[str]) -> None:
    """Refuse changes to keys on which the weights depend."""
    from ...core.errors import ConfigError
    from ...learning.checkpoints.resume import RESUMABLE_KEYS

    refused = [key for key in keys if key not in RESUMABLE_KEYS]
    if refused:
        raise ConfigError(
            f"--resume uses the run's own configuration: {', '.join(refused)}",
            why="a change would make it a different training",
            remedy="leave it out, or train anew without --resume; "
            f"what may change: {', '.join(RESUMABLE_KEYS)}",
        )


def _interrupted_run(path: str | None, *, longer: bool) -> Run:
    """Return the run to resume; a finished one only if it is to be trained for longer."""
    from ...core.errors import ConfigError
    from ...learning.checkpoints.resume import EPOCHS, PATIENCE
    from ...records.layout import find_run
    from ...records.record import read_record

    run = find_run(path, unfinished=not (longer and path is not None))
    if run.finished and not longer:
        key = PATIENCE if read_record(run).summary.get("stopped_early") else EPOCHS
        raise ConfigError(
            f"{run.path} is finished already",
            remedy=f"evaluate it with `asnn eval {shell(run.path)}`, train it for longer with "
            f"--set {key}=N, or train anew without --resume",
        )
    return run


def _train(recipe: Recipe, run: Run, resume: bool, processes: Processes) -> dict[str, Any]:
    from ...learning import train as fit
    from ..terminal.progress import Progress
    from ..terminal.signals import StopSignals

    with StopSignals(armed=False, silent=console.silent) as stop, Progress(stop.arm) as progress:
        # Killed by SIGKILL, torchrun does not stop its processes: they save and stop by themselves.
        summary = fit(
            recipe,
            run,
            progress,
            resume=resume,
            stop=lambda: stop() or is_orphan(),
            processes=processes,
        )
    if summary is None:
        console.note(f"saved; resume with: asnn train --resume {shell(run.path)}")
        raise typer.Exit(stop.exit_code)
    return summary


def _show_dry_run(recipe: Recipe, as_json: bool) -> None:
    """Load the data, build the network, and print the resolved recipe on stdout."""
    from ...learning import prepare
    from ...records.layout import RUNS, Run

    training = prepare(recipe, Run(RUNS))
    for line in training.data.notes:
        console.note(line)
    if as_json:
        console.print_json(
            {
                "recipe": recipe.document(),
                "parameters": training.parameters,
                "steps_per_epoch": training.steps_per_epoch,
                "device": str(training.device),
            }
        )
    else:
        console.emit(recipe.toml())
    console.note(
        f"the recipe is valid: {training.parameters:,} parameters, "
        f"{training.steps_per_epoch} steps per epoch on {training.device}"
    )
