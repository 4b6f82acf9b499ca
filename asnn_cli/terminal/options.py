"""Options that several commands share: each has one name, one meaning and one help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import completion

_SPLITS = completion.one_of(*completion.SPLITS)
_DEVICES = completion.one_of(*completion.DEVICES)
_DEVICE_HELP = "auto, cpu, cuda, cuda:N or mps."

RunFolder = Annotated[
    Path | None,
    typer.Argument(
        metavar="RUN",
        help="Folder of a run.",
        show_default="the newest",
        autocompletion=completion.runs,
    ),
]
Split = Annotated[
    str,
    typer.Option("--split", help="test, validation or train.", autocompletion=_SPLITS),
]
Device = Annotated[
    str,
    typer.Option("--device", help=_DEVICE_HELP, autocompletion=_DEVICES),
]
# Of a training: without it the recipe's value stands.
RecipeDevice = Annotated[
    str | None,
    typer.Option(
        "--device",
        help=_DEVICE_HELP,
        show_default="auto",
        autocompletion=_DEVICES,
    ),
]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, help="Samples at a time.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Folder of the data set's files.", show_default="as in training"
    ),
]
RecipeDataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Folder of the data set's files; missing ones are downloaded to it."
    ),
]
RecipeChanges = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a key, such as train.epochs=20. Repeatable.",
    ),
]
DataChanges = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="data.KEY=VALUE",
        help="New location of the data, such as data.path=images.zip. Repeatable.",
    ),
]
EnergyTable = Annotated[
    str | None,
    typer.Option(
        "--energy-table",
        metavar="NAME|FILE",
        help="Energy of operations: 45nm-fp32, 45nm-int8, 45nm-fp32-memory, or a TOML file.",
        show_default="45nm-fp32",
        autocompletion=completion.energy_tables,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
