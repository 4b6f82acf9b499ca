"""`asnn encode`: encode images, recordings of events and series into time steps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ...terminal import completion, console, options


def encode(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="INPUT|-",
            help="A PNG, JPEG, .npy or .npz file, a recording of events, a folder of samples, a "
            "run (its data in its code), or - for stdin; none with --dataset.",
            show_default=False,
        ),
    ] = None,
    coding: Annotated[
        str | None,
        typer.Option(
            help="Code, such as temporal or hybrid of images, frames of events, given of series.",
            show_default="that of a run; hybrid; frames; given",
            autocompletion=completion.codes,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Number of time steps T.", show_default="those of a run or a series; 4"),
    ] = None,
    thresholds: Annotated[
        str | None, typer.Option(help="linear or quantile.", show_default="linear")
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            help="fixed, or published: with the errors of the published code.",
            show_default="fixed",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, max=2**63 - 1, help="Seed of random codes."),
    ] = 0,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Another option of the code (tau=2.0) or the data set (data.size=[8,8]).",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Encode a data set instead of a file.", autocompletion=completion.datasets
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="train, validation or test, of a data set or a run.",
            show_default="test; all of a folder without parts",
            autocompletion=completion.one_of(*completion.SPLITS),
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Encode only the first N samples.", show_default="all")
    ] = None,
    index: Annotated[
        int | None,
        typer.Option(
            min=0, help="Encode only the sample with this number, from 0.", show_default="all"
        ),
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the data set's files.")] = None,
    path: Annotated[
        Path | None, typer.Option(help="File or folder of a data set, such as npz or events-npz.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE|-",
            help="An .npz (packed bits) or .npy (dense) file, or - for stdout.",
            show_default="INPUT.CODING.npz; stdout if the input is stdin",
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="npz or npy.", show_default="from -o, else npz"),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw the first image, its steps, the decoded image, its error and its spikes; or "
            "the first recording and its frames; or the first series: a .png, .svg or .pdf file.",
            show_default="none; INPUT.codes.png with --compare",
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="CODE,CODE...",
            help="Draw the first image or recording in several codes and compare them; write "
            "nothing else. Each code gets the options that it knows.",
            autocompletion=completion.list_of(completion.codes),
        ),
    ] = None,
    decode: Annotated[
        bool, typer.Option("--decode", help="Decode the spikes and report the error.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Encode images, recordings of events or series into spikes or values over T time steps.

    Examples:

    asnn encode cat.png --coding temporal --steps 8 -o cat.npz --plot cat-steps.png

    asnn encode --dataset mnist --data-dir data --limit 100 --coding embedding --decode

    cat cat.png | asnn encode - --coding latency --steps 16 > cat.npz

    asnn encode cat.png --compare direct,temporal,hybrid --steps 8

    asnn encode pictures/ --set data.size=32 -o pictures.npz

    asnn encode runs/digits --split train -o train.npz

    asnn encode recording.raw --coding voxel --steps 10 --plot frames.png

    asnn encode --dataset events-npz --path gestures.npz --compare frames,voxel,time-surface
    """
    from ....core.packages import require_package
    from ....measure.figures.files import figure_format
    from .compare import compare_codes
    from .input import Input
    from .one_code import encode_with_one
    from .options import coding_changes
    from .output import Output

    data_options = tuple(text for text in options or [] if text.startswith("data."))
    read = Input(source, dataset, split, data_dir, path, data_options)
    code_options = [text for text in options or [] if text not in data_options]
    changes = coding_changes(thresholds, variant, code_options)
    _require_one_choice(limit, index)
    if plot is not None or compare is not None:
        require_package("matplotlib", "a picture")
    if plot is not None:
        figure_format(plot)
    if compare is not None:
        _require_compare_alone(
            {
                "--coding": coding,
                "--output": output,
                "--format": form,
                "--limit": limit,
                "--decode": decode or None,
            }
        )
        found = compare_codes(
            compare, read, index=index, steps=steps, changes=changes, seed=seed, plot=plot
        )
    else:
        found = encode_with_one(
            coding,
            read,
            limit=limit,
            index=index,
            steps=steps,
            changes=changes,
            seed=seed,
            decode=decode,
            target=Output(source, output, form, as_json),
            plot=plot,
        )
    if as_json:
        console.print_json(found)


def _require_one_choice(limit: int | None, index: int | None) -> None:
    from ....core.errors import ConfigError

    if limit is not None and index is not None:
        raise ConfigError(
            "--limit does not go with --index", why="--index encodes one sample, which it names"
        )


def _require_compare_alone(options: dict[str, Any]) -> None:
    from ....core.errors import ConfigError

    for option, value in options.items():
        if value is not None:
            raise ConfigError(
                f"{option} does not go with --compare",
                why="--compare draws one sample in the codes that it names, and no more",
            )
