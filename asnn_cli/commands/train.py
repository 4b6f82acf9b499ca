"""`asnn train`: from a recipe to a run directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..terminal import completion, console


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE|FILE.toml",
            help="A built-in recipe or a file; with --resume, the run to go on with.",
            show_default="digits",
            autocompletion=completion.recipes_or(completion.runs),
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a key, such as train.epochs=20. Repeatable.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the run, which must be new or empty.",
            show_default="runs/RECIPE-TIME",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Same as --set train.seed=N.")] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="auto, cpu, cuda, cuda:N or mps.",
            show_default="auto",
            autocompletion=completion.one_of(*completion.DEVICES),
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="float32, bfloat16 or float16.",
            show_default="float32",
            autocompletion=completion.one_of(*completion.PRECISIONS),
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Where the data set's files are; missing ones are downloaded to it."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with an interrupted run: the one given, or the newest."
        ),
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
    """Train a network and write its run directory.

    Examples:

    asnn train

    asnn train fashion-mnist --data-dir data --set train.epochs=10 --seed 1

    asnn train my.toml --set coding.name=direct --out runs/direct

    asnn train --resume

    asnn train --resume runs/digits-20260101-120000 --set train.epochs=60
    """
    from ...core.errors import ConfigError
    from ...learning import check_recipe, parse_override
    from ...records.create import create_run
    from ...records.layout import Run
    from ...records.record import read_record
    from ..terminal.processes import together

    flags = {
        "train.seed": seed,
        "train.device": device,
        "train.precision": precision,
        "data.dir": str(data_dir) if data_dir else None,
    }
    wanted = [parse_override(text) for text in changes or []]
    wanted += [(key.split("."), value) for key, value in flags.items() if value is not None]
    if resume and (out or dry_run):
        raise ConfigError(
            "--resume goes on in the run's own folder",
            why=f"{'--out' if out else '--dry-run'} would make it another training",
            remedy="leave it out, or train anew without --resume",
        )
    if dry_run:
        _show_dry_run(_new_recipe(recipe, wanted), as_json)
        return

    def place() -> tuple[Any, dict[str, Any]]:
        """Return the run's folder and its recipe."""
        if resume:
            run, checked = _taken_up(recipe, wanted)
            return run.path, checked.document()
        checked = _new_recipe(recipe, wanted)
        return create_run(out, checked.name).path, checked.document()

    with together() as processes:
        path, document = processes.from_first(place)
        run = Run(path)
        summary = _train(check_recipe(document), run, resume, processes)
        console.note(
            f"best validation accuracy {console.percent(summary['best']['validation_accuracy'])} "
            f"in epoch {summary['best']['epoch']}; {console.duration(summary['seconds'])}"
        )
        accuracies = read_record(run).accuracies
        if len(accuracies) > 1:
            console.note(f"validation accuracy by epoch: {console.curve(accuracies)}")
        console.note(f"run: {run.path}    next: asnn eval {run.path}")
        if as_json:
            console.print_json({"run": str(run.path), **summary})


def _new_recipe(name: str | None, changes: list[tuple[list[str], Any]]) -> Any:
    from ...learning import check_recipe, override, read_document
    from ..recipe_files import DEFAULT, recipe_file

    name = name or DEFAULT
    document = read_document(recipe_file(name))
    document.setdefault("name", Path(name).stem)
    changed, notices = override(document, changes)
    checked = check_recipe(changed, source=f"recipe {name}")
    for text in notices:
        console.note(text)
    return checked


def _taken_up(path: str | None, changes: list[tuple[list[str], Any]]) -> tuple[Any, Any]:
    """Return the run to go on with and its recipe, harmless keys changed."""
    from ...learning import check_recipe, override
    from ...learning.checkpoints.resume import EPOCHS, former_document

    keys = [".".join(key) for key, _ in changes]
    _require_harmless(keys)
    run = _interrupted_run(path, longer=EPOCHS in keys)
    document = former_document(run)
    document.setdefault("name", run.path.name)
    changed, _ = override(document, changes)
    return run, check_recipe(changed, source=f"the configuration {run.config}")


def _require_harmless(keys: list[str]) -> None:
    """Refuse changes to a run that goes on, other than to keys that may change."""
    from ...core.errors import ConfigError
    from ...learning.checkpoints.resume import RESUMABLE_KEYS

    refused = [key for key in keys if key not in RESUMABLE_KEYS]
    if refused:
        raise ConfigError(
            f"--resume goes on with the run's own configuration: {', '.join(refused)}",
            why="a change would make it a different training",
            remedy="leave it out, or train anew without --resume; "
            f"what may change: {', '.join(RESUMABLE_KEYS)}",
        )


def _interrupted_run(path: str | None, *, longer: bool) -> Any:
    """Return the run to go on with, a finished one only where it is to be trained for longer."""
    from ...core.errors import ConfigError
    from ...learning.checkpoints.resume import EPOCHS
    from ...records.layout import find_run

    run = find_run(path, unfinished=not (longer and path is not None))
    if run.finished and not longer:
        raise ConfigError(
            f"{run.path} is finished already",
            remedy=f"evaluate it with `asnn eval {run.path}`, train it for longer with "
            f"--set {EPOCHS}=N, or train anew without --resume",
        )
    return run


def _train(recipe: Any, run: Any, resume: bool, processes: Any) -> dict[str, Any]:
    from ...learning import train as fit
    from ..terminal.progress import Progress
    from ..terminal.signals import StopSignals

    with StopSignals(armed=False, silent=console.silent) as stop, Progress(stop.arm) as progress:
        summary = fit(recipe, run, progress, resume=resume, stop=stop, processes=processes)
    if summary is None:
        console.note(f"saved; go on with: asnn train --resume {run.path}")
        raise typer.Exit(stop.exit_code)
    return summary


def _show_dry_run(recipe: Any, as_json: bool) -> None:
    """Load the data, build the network, and print the resolved recipe on stdout."""
    from ...learning import prepare
    from ...records.layout import RUNS, Run

    training = prepare(recipe, Run(RUNS))
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
        f"fine: {training.parameters:,} parameters, {training.steps_per_epoch} steps an epoch "
        f"on {training.device}"
    )
