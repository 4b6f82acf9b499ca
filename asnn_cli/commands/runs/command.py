"""`asnn runs`: list runs with their best figures, and compare two of them."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ....records.sorting import ORDERS
from ...terminal import completion, console, options

MAX_SHOWN = 20
INTERRUPTED = 130
WATCH_SECONDS = 2.0  # between two drawings of --watch
FIGURES = {  # key of a result: its name, scale and format
    "validation_accuracy": ("validation accuracy, %", 100, ".2f"),
    "validation_loss": ("validation loss", 1, ".4f"),
    "epoch": ("best epoch", 1, ","),
    "spike_rate": ("spike rate", 1, ".4f"),
    "seconds": ("training, s", 1, ",.1f"),
    "parameters": ("parameters", 1, ","),
}


class _ListByDefault(TyperGroup):
    """A group that runs its command `list` if none is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = args and (args[0] in self.commands or args[0] in ctx.help_option_names)
        if not named and not ctx.resilient_parsing:
            _refuse_unknown_command(args)
            args = ["list", *args]
        return super().parse_args(ctx, args)


def _refuse_unknown_command(args: list[str]) -> None:
    from ....core.errors import DataError

    if args and not args[0].startswith("-") and "/" not in args[0] and not Path(args[0]).exists():
        raise DataError(
            f"there is no folder {args[0]}/, and no such command",
            remedy="give a folder that holds runs, or a command: list or diff",
        )


runs_app = typer.Typer(
    cls=_ListByDefault,
    rich_markup_mode=None,
    help="List runs with their best figures, or compare two of them.\n\n"
    "Without a command it lists; `asnn runs list -h` shows the options.\n\n"
    "Examples:\n\nasnn runs\n\nasnn runs diff runs/a runs/b",
)


@runs_app.command("list")
def list_runs(
    folders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FOLDER",
            help="Where to look, three folders deep; a sweep's folder lists its members.",
            show_default="runs",
            autocompletion=completion.sweeps,
        ),
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            help="newest, name, metric, accuracy, rate or parameters; the best run first.",
            autocompletion=completion.one_of(*ORDERS),
        ),
    ] = "newest",
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="How many to list.", show_default="20, with --json all"),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Redraw the list every two seconds, until Ctrl-C.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """List runs, newest first: best validation metric, its values by epoch, spike rate, settings.

    Values that all runs share are in the title; columns that do not fit the terminal are left
    out. --json has everything.

    Examples:

    asnn runs

    asnn runs list runs --sort accuracy --limit 5

    asnn runs --json | jq '.runs[0].best'
    """
    from ....core.errors import ConfigError
    from ....records.layout import RUNS
    from ....records.sorting import sorted_records
    from .table import listing, listing_within_height

    searched = folders or [RUNS]
    out = console.stderr()
    out.soft_wrap = False
    if watch and (as_json or not (sys.stderr.isatty() and out.is_interactive)):
        raise ConfigError(
            "--watch needs a terminal",
            why="stderr is no terminal that can be drawn on" * (not as_json),
            remedy="leave it out",
        )
    if as_json:
        records, _ = sorted_records(searched, sort, limit)
        console.print_json({"runs": [record.as_dict() for record in records]})
        return

    def drawn() -> Any:
        records, paths = sorted_records(searched, sort, limit or MAX_SHOWN)
        return (listing_within_height if watch else listing)(records, paths, out)

    if not watch:
        out.print(drawn())
        return
    from rich.live import Live

    try:
        with Live(drawn(), console=out, auto_refresh=False) as live:
            while True:
                time.sleep(WATCH_SECONDS)
                live.update(drawn(), refresh=True)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


@runs_app.command("diff")
def diff_runs(
    a: Annotated[Path, typer.Argument(metavar="A", help="A run.", autocompletion=completion.runs)],
    b: Annotated[
        Path, typer.Argument(metavar="B", help="Another.", autocompletion=completion.runs)
    ],
    as_json: options.Json = False,
) -> None:
    """Compare two runs: configuration, environment and result.

    Differences of the result are B - A. The exit code is 0 whether they differ or not.

    Examples:

    asnn runs diff runs/a runs/b

    asnn runs diff runs/a runs/b --json | jq .configuration
    """
    from ....core.errors import DataError
    from ....records.differences import run_differences
    from ....records.layout import find_run
    from ....records.record import read_record

    records = [read_record(find_run(path)) for path in (a, b)]
    for record in records:
        if not record.config:
            raise DataError(f"{record.run.config} cannot be read", why="\n".join(record.faults))
    found = run_differences(*records)
    if as_json:
        paths = {name: str(record.run.path) for name, record in zip("ab", records, strict=True)}
        console.print_json({**paths, **found})
        return
    for name, record in zip("AB", records, strict=True):
        console.heading(f"{name}: {record.run.path} ({record.state})")
        for fault in record.faults:
            console.note(f"  damaged: {fault}")
        if record.edits:
            console.note(f"  edited after the training: config.toml: {record.edits}")
    _show_differences(found)


def _show_differences(found: dict[str, dict[str, Any]]) -> None:
    from ....records.differences import same_result

    for part in ("configuration", "environment"):
        rows = [[key, _value(each["a"]), _value(each["b"])] for key, each in found[part].items()]
        if rows:
            console.table(part, ["", "A", "B"], rows)
        else:
            console.note(f"{part}: the same")
    if all(each["a"] is None and each["b"] is None for each in found["result"].values()):
        console.note("result: none yet")
        return
    rows = []
    for name, each in found["result"].items():
        other = (name.replace("_", " "), 1, ".4g")  # the metric of another task
        label, scale, form = FIGURES.get(name, other)
        values = (each["a"], each["b"])
        shown = [console.UNKNOWN if x is None else f"{scale * x:{form}}" for x in values]
        change = each["difference"]
        shown.append(console.UNKNOWN if change is None else f"{scale * change:+{form}}")
        rows.append([label, *shown])
    same = ": the same" if same_result(found["result"]) else ""
    console.table(f"result{same}", ["", "A", "B", "B - A"], rows)


def _value(value: Any) -> str:
    import json

    if value is None:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value)
