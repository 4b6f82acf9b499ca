"""`asnn report`: write a page about one run, or compare several."""

from __future__ import annotations

import errno
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..terminal import completion, console, options

if TYPE_CHECKING:
    from ...records.open_run import OpenRun
    from ...records.record import RunRecord

NAME = "report.html"
MAX_PAGE = 2**30
HEAD = 2**16  # bytes of a page with its title
BATCH_SIZE = 256


def report(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN...",
            help="Folders of runs, or of a sweep; several runs are compared.",
            show_default="the newest",
            autocompletion=completion.runs,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE.html",
            help="The page.",
            show_default=f"RUN/{NAME} or SWEEP/{NAME}; of several, runs/{NAME}",
        ),
    ] = None,
    split: options.Split = "test",
    sample: Annotated[
        int | None,
        typer.Option(
            metavar="INDEX",
            help="The sample whose spikes are shown layer by layer, counted from 0.",
            show_default="the first with a correct prediction",
        ),
    ] = None,
    energy_table: options.EnergyTable = None,
    device: options.Device = "auto",
    batch_size: options.BatchSize = BATCH_SIZE,
    data_dir: options.DataDir = None,
    changes: options.DataChanges = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print path and main figures as one JSON object.")
    ] = False,
) -> None:
    """Write a page about runs: metrics, cost, confusions, schedules, spikes, configuration.

    The page is one HTML file without scripts or external files. Each run is evaluated again.

    Examples:

    asnn report

    asnn report runs/a

    asnn report runs/a runs/b -o compare.html

    asnn report runs/a --energy-table 45nm-int8 --json | jq '.runs[0].accuracy'
    """
    from ...core.files import make_folder, write_text
    from ...core.packages import require_package
    from ...core.registry import unknown
    from ...core.units import size
    from ...learning.device import find_device, require_float64
    from ...measure.cost.tables import DEFAULT, read_cost_table
    from ...records.layout import is_sweep, with_runs_of_sweeps
    from ...records.open_run import open_run, refuse_limit
    from ...reports.collect import collect
    from ...reports.metrics_view import in_short
    from ...reports.page import page
    from ..terminal.processes import together

    with together() as processes:
        first = processes.first
    if not first:  # of several processes one writes the page
        return
    if split not in completion.SPLITS:
        raise unknown("split", split, list(completion.SPLITS))
    if split != "train":
        refuse_limit(changes or [])
    require_package("matplotlib", "a report")
    table = read_cost_table(energy_table or DEFAULT)
    where = find_device(device)
    named_runs = with_runs_of_sweeps(runs) if runs else [None]
    named = [open_run(run, data_dir=data_dir, changes=changes or []) for run in named_runs]
    by_path = {run.path.resolve(): run for run in reversed(named)}  # each run once
    found = list(by_path.values())[::-1]
    sweep = runs[0] if runs and len(runs) == 1 and is_sweep(runs[0]) else None
    target = out or (sweep / NAME if sweep else _default_target(found))
    _check_target(target)
    for run in found:  # an unreadable run is refused before any is evaluated
        run.load()
    reports = []
    for run in found:
        require_float64(where, run.model)
        model, data = run.model.to(where), run.data
        if not as_json:
            console.note(f"evaluating {run.path} on {split} data ({where})")
        reports.append(
            collect(
                run.record,
                model,
                data,
                split=split,
                table=table,
                task=run.task,
                sample=sample,
                batch_size=batch_size,
                device=where,
            )
        )
    options = {
        "-o": target,
        "--split": split if split != "test" else None,
        "--sample": sample,
        "--energy-table": energy_table,
        "--device": device if device != "auto" else None,
        "--batch-size": batch_size if batch_size != BATCH_SIZE else None,
        "--data-dir": data_dir,
    }
    text = page(
        reports,
        command=_command([run.path for run in found], options, changes or []),
        differences=_differences([run.record for run in found]),
    )
    make_folder(target.parent)
    write_text(target, text)
    bytes_written = len(text.encode())
    if as_json:
        console.print_json(
            {
                "page": str(target),
                "bytes": bytes_written,
                "split": split,
                "energy_table": table.name,
                "runs": [{"run": str(each.path), **each.figures()} for each in reports],
            }
        )
        return
    for each in reports:
        console.note(f"{each.name}: {in_short(each)}")
    console.heading(f"wrote {target} ({size(bytes_written)})")


def _default_target(runs: list[OpenRun]) -> Path:
    from ...records.layout import RUNS

    if len(runs) == 1:
        return runs[0].path / NAME
    return RUNS / NAME if RUNS.is_dir() else Path(NAME)


def _check_target(target: Path) -> None:
    """Refuse a path to which the page cannot be written, before the evaluation.

    Raises:
        ConfigError: it is a folder, stdout, or a file that is no report.
        AsnnError: its folder cannot be made or written to.
    """
    from ...core.errors import ConfigError
    from ...core.files import cannot_write, require_writable

    if str(target) == "-" or target.is_dir():
        raise ConfigError(
            f"-o {target} is not a file", why="the page is a file", remedy="give one: -o page.html"
        )
    if target.exists() and not _is_report(target):
        raise ConfigError(
            f"-o {target} would replace a file that is no report of asnn",
            remedy="name another file, or remove this one first",
        )
    above = next(each for each in target.absolute().parents if each.exists())
    if not above.is_dir():
        raise cannot_write(target, OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
    require_writable(above, path=target)


def _is_report(path: Path) -> bool:
    """Return whether a file is empty, or a page that `asnn report` has written."""
    from ...core.reading import open_regular

    try:
        with open_regular(path, max_size=MAX_PAGE) as file:
            head = file.read(HEAD)
    except (OSError, ValueError):
        return False
    return not head or b"asnn report</title>" in head


def _differences(records: list[RunRecord]) -> dict[str, list[Any]]:
    """Return the keys of the configuration that differ between runs, with the value in each run."""
    from ...records.differences import run_differences

    first, *others = records
    found: dict[str, list[Any]] = {}
    for i, other in enumerate(others, 1):
        for key, each in run_differences(first, other)["configuration"].items():
            found.setdefault(key, [each["a"]] * len(records))[i] = each["b"]
    return found


def _command(runs: list[Path], options: dict[str, Any], changes: list[str]) -> str:
    """Return the command line that writes the page again."""
    words = ["asnn", "report", *map(str, runs)]
    for name, value in options.items():
        words += [] if value is None else [name, str(value)]
    for change in changes:
        words += ["--set", change]
    return shlex.join(words)
