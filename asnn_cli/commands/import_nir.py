"""`asnn import`: make a run of the network in a NIR file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...core.text import shell
from ..terminal import completion, console, options

OF_WEIGHTS = (
    "its weights go with the function that builds the network: `asnn export --from MODULE:FUNCTION "
    "--weights-from {} --format nir`"
)
OTHERS = {
    ".onnx": "`asnn inspect` shows an .onnx file, `asnn export --check` compares it with a network "
    "or another file, and `asnn predict` runs one that asnn wrote",
    **dict.fromkeys((".pt", ".pth", ".safetensors"), OF_WEIGHTS),
}


def import_file(
    path: Annotated[Path, typer.Argument(metavar="FILE.nir", help="A NIR file of any writer.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the run, which must be new or empty.",
            show_default="runs/FILE-TIME",
        ),
    ] = None,
    dt: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Length of a time step, which NIR has no field for.",
            show_default="as its metadata or parameters say; else it must be given",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of time steps T.",
            show_default="as its metadata or the series say; else it must be given",
        ),
    ] = None,
    semantics: Annotated[
        str | None,
        typer.Option(
            help="What the file leaves open: nir computes the equations of the format by forward "
            "Euler from 0, fires above the threshold, resets to v_reset, and a loop takes one "
            "step; snntorch (reset by subtraction), snntorch-zero, spikingjelly, norse, sinabs and "
            "rockpool compute as these do.",
            show_default="as its metadata say, else nir",
            autocompletion=completion.one_of(*completion.SEMANTICS),
        ),
    ] = None,
    answer: Annotated[
        str,
        typer.Option(
            help="Of the outputs of the steps: mean, or last.",
            autocompletion=completion.one_of("mean", "last"),
        ),
    ] = "mean",
    data_dir: options.DataDir = None,
    changes: options.RecipeChanges = None,
    as_json: options.Json = False,
) -> None:
    """Make a run of the network in a NIR file: asnn eval, predict, export and train work on it.

    The run holds everything; the file is not needed afterwards. Without data (--set data.name=...)
    it takes series of T steps: it can be inspected, exported, and evaluated on a data set of them
    later. Its weights can be trained: asnn train RUN/config.toml starts from them.

    Examples:

    asnn import network.nir --steps 25 --dt 1e-4 -o runs/network

    asnn import snntorch.nir --steps 25 --semantics snntorch

    asnn import norse.nir --steps 100 --semantics norse --dt 0.001

    asnn import network.nir --steps 10 --dt 1e-4 --set data.name=digits --set coding.name=rate
    """
    from ...core.errors import ConfigError
    from ...core.packages import require_package
    from ...datasets.sources.none import NO_DATA
    from ...learning import parse_override
    from ...records.create import require_empty
    from ...records.import_nir import import_nir

    require_package("nir", "an import of NIR")
    if path.suffix in OTHERS:
        raise ConfigError(
            f"{path} is not a NIR file by its name",
            why="`asnn import` reads NIR alone",
            remedy=OTHERS[path.suffix].format(shell(path)),
        )
    if out is not None:
        require_empty(out)
    overrides = [parse_override(text) for text in changes or []]
    if data_dir is not None:
        overrides.append((["data", "dir"], str(data_dir)))
    found = import_nir(
        path, dt=dt, steps=steps, semantics=semantics, answer=answer, changes=overrides
    )
    run = found.write(out)
    for text in found.notes:
        console.note(f"note: {text}")
    recipe = found.recipe
    without = recipe.data.name == NO_DATA
    after = f"asnn export {shell(run.path)} --format onnx" if without else ""
    console.note(f"run: {run.path}    next: {after or f'asnn eval {shell(run.path)}'}")
    if as_json:
        console.print_json(
            {
                "run": str(run.path),
                **found.about,
                "steps": recipe.coding.steps,
                "coding": recipe.coding.name,
                "data": None if without else recipe.data.name,
                "in_shape": list(found.model.config["in_shape"]),
                "outputs": found.model.config["classes"],
                "parameters": sum(each.numel() for each in found.model.parameters()),
                "notes": found.notes,
            }
        )
