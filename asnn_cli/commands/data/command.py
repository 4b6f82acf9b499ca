"""`asnn data info`: what data hold, before they are trained on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...terminal import completion, console, options
from ...terminal.group import Data

if TYPE_CHECKING:
    from ....datasets.survey.samples import Sample

data_app = typer.Typer(
    cls=Data,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Look at data before training on them.\n\nExamples:\n\nasnn data info pictures/",
)


@data_app.callback()
def data() -> None:
    """Look at data before training on them."""


@data_app.command("info")
def info(
    source: Annotated[
        str,
        typer.Argument(
            metavar="PATH|NAME",
            help="A folder, .zip, .npz or .csv of samples, or the name of a data set.",
            autocompletion=completion.data_or_datasets,
        ),
    ],
    data_dir: options.RecipeDataDir = None,
    changes: options.DataChanges = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw a contact sheet, a row for each class; .png, .svg or .pdf.",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Show classes, sizes, ranges, copies and damaged files of data, and how to train on them.

    Every sample is read, one at a time. Parts that are missing are cut as a training would cut
    them. Damaged files are listed; the exit code is 4 only if no sample can be read.

    Examples:

    asnn data info pictures/ --plot pictures.png

    asnn data info data.npz --json | jq .copies

    asnn data info labels.csv --set data.label_column=breed

    asnn data info digits
    """
    from ....core.errors import DataError
    from ....datasets.survey.source import open_source
    from ....datasets.survey.summary import MAX_PICTURED, survey
    from ....measure.figures.contact_sheet import draw_contact_sheet
    from ....measure.figures.files import figure_format
    from .show import show_survey

    if plot is not None:
        figure_format(plot)
    found = open_source(source, _asked(changes, data_dir))
    samples = _tracked(found.samples, found.count)
    seen = survey(samples, found.classes, thumbnails=plot is not None)
    content = seen.result()
    if not seen.readable:
        first = next(iter(content["damaged"]["files"]), None)
        raise DataError(
            f"no sample of {source} can be read",
            why=f"{first['file']}: {first['why']}" if first else "it has none",
            remedy="replace the files",
        )
    content = {
        "source": source,
        "data_set": found.name,
        "many": found.many,
        **content,
        "cut": found.cut,
        "notes": found.notes,
        "train": found.command,
    }
    if plot is not None:
        names: dict[int | None, str] = dict(enumerate(found.classes))
        numbers = sorted(seen.thumbnails, key=lambda number: -1 if number is None else number)
        rows = {names.get(number, ""): seen.thumbnails[number] for number in numbers}
        of_all = f", the first {MAX_PICTURED} classes" if len(names) > MAX_PICTURED else ""
        draw_contact_sheet(plot, f"{Path(source).name}: {seen.samples:,} samples{of_all}", rows)
        content["plot"] = str(plot)
    if as_json:
        console.print_json(content)
        return
    show_survey(content)


def _asked(changes: list[str] | None, data_dir: Path | None) -> dict[str, Any]:
    from ....core.errors import ConfigError
    from ....learning import override, parse_override

    given: list[tuple[list[str], Any]] = [(["data", "dir"], str(data_dir))] if data_dir else []
    for text in changes or []:
        key, value = parse_override(text)
        if key[0] != "data":
            raise ConfigError(f"--set {text} is no key of data", remedy="give data.KEY=VALUE")
        given.append((key, value))
    found: dict[str, Any] = override({"data": {}}, given)[0]["data"]
    if "limit" in found:
        raise ConfigError(
            "data.limit is of a training",
            why="`asnn data info` looks at all samples",
            remedy="leave it out",
        )
    return found


def _tracked(samples: Iterator[Sample], count: int) -> Iterator[Sample]:
    """Yield the samples, with a bar on a terminal."""
    if not sys.stderr.isatty():
        yield from samples
        return
    from rich.progress import track

    out = console.stderr()
    yield from track(samples, "reading", total=count, console=out, transient=True)
