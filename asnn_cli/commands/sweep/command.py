"""`asnn sweep`: a run for each point of a grid and each seed, and their comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ....core.text import shell
from ...terminal import completion, console, options
from ...terminal.exits import FAILURE

MAX_COMPARISONS_SHOWN = 12  # results.md shows all of them


def sweep(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE|FILE.toml",
            help="A built-in recipe or a file; with --resume, the sweep to resume.",
            show_default="digits",
            autocompletion=completion.recipes_or(completion.sweeps),
        ),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "--grid",
            metavar="KEY=VALUE,VALUE...",
            help="Vary a key; 'KEY=A,B;OTHER=C,D' varies keys together. Repeat for a product grid.",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a key for all members, such as train.epochs=20. Repeatable.",
        ),
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            "--search",
            metavar="KEY=LOW..HIGH[:log]",
            help="Instead of --grid: search a range, or choices KEY=A,B, for the best primary "
            "metric on validation data. Needs asnn[search]. Repeatable.",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="Number of trials of a search.", show_default="20"),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="N|A,B...",
            help="3 means seeds 0, 1 and 2; 0,3,7 and '5,' list seeds.",
            show_default="the recipe's",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Trainings at the same time; they share the cores.",
            show_default="one per core, on other devices 1",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the sweep; if it contains the same sweep, that is resumed.",
            show_default="runs/sweep-RECIPE-TIME",
        ),
    ] = None,
    data_dir: options.RecipeDataDir = None,
    device: options.RecipeDevice = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Evaluate on test, validation or train.",
            show_default="test",
            autocompletion=completion.one_of(*completion.SPLITS),
        ),
    ] = None,
    skip_impossible: Annotated[
        bool,
        typer.Option(
            "--skip-impossible",
            help="Leave out and list combinations that cannot be trained.",
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Resume a sweep: the given one, or the newest."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and list the members, and stop.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the results as one JSON object.")
    ] = False,
) -> None:
    """Train a grid of settings over several seeds, and compare them by the task's primary metric.

    Each member is a run in the sweep's folder, trained and evaluated in its own process. The
    results are results.json, results.md and, of a grid, results.png. --resume trains the members
    that a stopped sweep lacks; for a finished sweep it only writes the results again.

    Examples:

    asnn sweep --grid coding.name=direct,hybrid --grid model.neuron=fixed,adaptive --seeds 3

    asnn sweep mnist --grid 'coding.steps=2,4;train.lr=3e-3,1e-3' --set train.epochs=5 --jobs 2

    asnn sweep --resume

    asnn sweep --search train.lr=1e-4..1e-2:log --search model.hidden=64..512 --trials 20

    asnn sweep --resume runs/sweep-digits-20260101-120000 --json | jq '.points[].accuracy'
    """
    from ....core.errors import ConfigError
    from ....sweeps.define import define
    from ....sweeps.definition import read_definition
    from ....sweeps.folder import SweepFolder, find_sweep, make_folder
    from ....sweeps.grid import parse_axis
    from ....sweeps.plan import make_plan
    from ....sweeps.ranges import parse_range
    from ....sweeps.search import require_optuna
    from ...recipe_files import DEFAULT, recipe_file
    from .search import run_search

    if resume:
        others = (grid, search, trials, changes, seeds, out, data_dir, split)
        if any(others) or skip_impossible or dry_run:
            raise ConfigError(
                "--resume uses the sweep's own definition",
                why="options other than --device, --jobs and --json would make it another sweep",
                remedy="leave them out, or start a new sweep without --resume",
            )
        folder = find_sweep(recipe)
        definition = read_definition(folder.definition)
    else:
        folder = SweepFolder(out) if out else None
        recipe = recipe or DEFAULT
        definition = define(
            recipe,
            recipe_file(recipe),
            changes=changes or [],
            data_dir=data_dir,
            seeds=seeds,
            axes=tuple(parse_axis(text) for text in grid or []),
            ranges=tuple(parse_range(text) for text in search or []),
            trials=trials,
            split=split,
            skip_impossible=skip_impossible,
        )
    if definition.ranges:
        require_optuna()
    elif not resume and not definition.axes and seeds is None:
        source = shell(definition.source)
        raise ConfigError(
            "this sweep has a single training",
            why="there is neither --grid, --search nor --seeds, so nothing to compare",
            remedy=f"for example: asnn sweep {source} --grid train.lr=1e-3,3e-3 --seeds 3; "
            f"or train once: asnn train {source}",
        )

    def finished(name: str) -> bool:
        return folder is not None and folder.record(name, definition.split) is not None

    plan = make_plan(definition, device=device, finished=finished)
    _show_plan(plan)
    if dry_run:
        _show_members(plan, definition.trials, as_json)
        return
    if folder is None or not resume:
        folder = make_folder(definition, out)
    with folder.lock() as lock_fd:
        if definition.ranges:
            jobs = jobs or _default_jobs(plan.members)
            results, code = run_search(
                definition, folder, plan.metric, device=device, jobs=jobs, lock_fd=lock_fd
            )
        else:
            results, code = _train(definition, plan, folder, jobs, lock_fd)
            _show_results(results, folder)
    if as_json:
        console.print_json(results)
    if code:
        raise typer.Exit(code)


def _show_plan(plan: Any) -> None:
    from ....sweeps.plan import describe

    for text in plan.notices:
        console.note(text)
    for point, faults in plan.impossible:
        console.note(f"left out: {describe(point)}: {'; '.join(faults)}")


def _show_members(plan: Any, trials: int, as_json: bool) -> None:
    if trials:
        if as_json:
            console.print_json({"trials": trials})
        console.note(f"the search is valid: {trials} trials")
        return
    if as_json:
        console.print_json(
            {
                "members": [
                    {"name": each.name, "settings": dict(each.point), "seed": each.seed}
                    for each in plan.members
                ],
                "left_out": [
                    {"settings": dict(point), "why": faults} for point, faults in plan.impossible
                ],
            }
        )
    else:
        console.emit("".join(f"{member.name}\n" for member in plan.members))
    console.note(f"the sweep is valid: {len(plan.members)} trainings")


def _train(
    definition: Any, plan: Any, folder: Any, jobs: int | None, lock_fd: int | None
) -> tuple[dict[str, Any], int]:
    """Train the missing members and write the results; return them and the exit code."""
    from ....core.packages import missing_package
    from ....sweeps.figure import draw_results
    from ....sweeps.member import require_same_recipe
    from ....sweeps.pool import run_members
    from ....sweeps.results import read_records, summarise, write_results
    from ...terminal.signals import StopSignals
    from .progress import SweepProgress

    kept = read_records(plan, folder, definition.split)
    todo = [member for member in plan.members if member.name not in kept]
    failures: dict[str, Any] = {}
    stopped = 0
    if todo:
        for member in plan.members:
            require_same_recipe(member.recipe, folder.run(member.name))
        jobs = min(jobs or _default_jobs(todo), len(todo))
        progress = SweepProgress(definition, plan, folder, todo, jobs)
        with StopSignals() as stop:
            failures = run_members(
                todo, folder, definition.split, progress, jobs=jobs, stop=stop, lock_fd=lock_fd
            )
        stopped = stop.exit_code if stop() else 0
    results = summarise(definition, plan, folder, failures)
    write_results(results, folder)
    try:
        draw_results(folder.figure, results)
    except ImportError as error:
        console.note(f"warning: {folder.figure.name} is not drawn: {missing_package(error)}")
    return results, stopped or (FAILURE if results["failed"] else 0)


def _default_jobs(members: list[Any]) -> int:
    from ....learning.device import find_device
    from ....sweeps.pool import cores

    kinds = {find_device(member.recipe.train.device).type for member in members}
    return cores() if kinds == {"cpu"} else 1


def _sign(metric: Any) -> str:
    return "" if metric.greater_is_better else ", below 0 is better"


def _show_results(results: dict[str, Any], folder: Any) -> None:
    from ....sweeps.results_page import comparison_table, reasons, results_metric, results_table

    metric = results_metric(results)
    heads, rows = results_table(results)
    console.table(f"{results['split']} data: mean ± deviation over seeds", heads, rows)
    single, pooled = results["comparisons"]["single"], results["comparisons"]["pooled"]
    if single and len(single) <= MAX_COMPARISONS_SHOWN:
        heads, rows = comparison_table(single, results["keys"], pooled=False, metric=metric)
        title = (
            f"differences, {metric.unit_of_change}{_sign(metric)} (Holm over these {len(single)})"
        )
        console.table(title, heads, rows)
    if len(pooled) < len(single):
        heads, rows = comparison_table(pooled, results["keys"], pooled=True, metric=metric)
        title = f"differences over all other settings (Holm over these {len(pooled)})"
        console.table(title, heads, rows)
    for why in reasons(single):
        console.note(f"no p value: {why}")
    for failed in results["failed"]:
        console.note(f"failed: {failed['name']}: {failed['what']}")
        for line in failed["why"].splitlines():
            console.note(f"  {line}")
        if failed["remedy"]:
            console.note(f"  → {failed['remedy']}")
    if results["missing"]:
        console.note(
            f"{len(results['missing'])} of {results['total']} are not trained yet; "
            f"resume with: asnn sweep --resume {shell(folder.path)}"
        )
    console.note(f"results: {folder.report}")
