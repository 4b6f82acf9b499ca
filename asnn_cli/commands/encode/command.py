"""`asnn encode`: encode images into spikes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...terminal import completion, console, options

if TYPE_CHECKING:
    from ....measure.encoding import EncodedImages


def encode(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="INPUT|-",
            help="A PNG, JPEG, .npy or .npz file, or - for stdin; none with --dataset.",
            show_default=False,
        ),
    ] = None,
    coding: Annotated[
        str | None,
        typer.Option(
            help="Code, such as temporal or hybrid.",
            show_default="hybrid",
            autocompletion=completion.codes,
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="Number of time steps T.")] = 4,
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
            help="train, validation or test.",
            show_default="test",
            autocompletion=completion.one_of(*completion.SPLITS),
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Encode only the first N images.", show_default="all")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the data set's files.")] = None,
    path: Annotated[
        Path | None, typer.Option(help="File or folder of the data sets npz and folder.")
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
            help="Draw the first image, its steps, the decoded image, its error and its spikes: "
            "a .png, .svg or .pdf file.",
            show_default="none; INPUT.codes.png with --compare",
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="CODE,CODE...",
            help="Draw the first image in several codes and compare them; write nothing else. "
            "Each code gets the options that it knows.",
            autocompletion=completion.list_of(completion.codes),
        ),
    ] = None,
    decode: Annotated[
        bool, typer.Option("--decode", help="Decode the spikes and report the error.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Encode images into spikes over T time steps.

    Examples:

    asnn encode cat.png --coding temporal --steps 8 -o cat.npz --plot cat-steps.png

    asnn encode --dataset mnist --data-dir data --limit 100 --coding embedding --decode

    cat cat.png | asnn encode - --coding latency --steps 16 > cat.npz

    asnn encode cat.png --compare direct,temporal,hybrid --steps 8
    """
    import torch

    from ....coding import create_coding
    from ....measure.encoding import encode_all
    from ....measure.figures.curves import figure_format
    from .compare import compare_codes
    from .input import Input
    from .options import coding_changes, coding_options

    data_options = tuple(text for text in options or [] if text.startswith("data."))
    images = Input(source, dataset, split, data_dir, path, data_options)
    code_options = [text for text in options or [] if text not in data_options]
    changes = coding_changes(thresholds, variant, code_options)
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
        found = compare_codes(compare, images, steps=steps, changes=changes, seed=seed, plot=plot)
        if as_json:
            console.print_json(found)
        return
    coding = coding or "hybrid"
    form = form or ("npy" if (output or "").endswith(".npy") else "npz")
    target = _target(source, f"{images.stem}.{coding}.{form}", output, as_json)
    checked = coding_options(coding, steps, changes)
    code = create_coding(coding, steps=steps, **checked)
    batches, name = images.batches(limit)
    torch.manual_seed(seed)
    encoded = encode_all(code, batches, decode=decode)
    meta = {
        "coding": coding,
        "steps": steps,
        "options": checked,
        "analog_steps": code.analog_steps,
        "static": code.static,
        "thresholds": _threshold_table(code),
        "seed": seed,
        "source": name,
    }
    if target is not None:
        _write(target, form, encoded, meta)
    if plot is not None:
        _draw(plot, code, encoded)
    figures = encoded.figures()
    _show(figures, target, plot)
    if as_json:
        console.print_json(
            {**meta, **figures, "output": target, "plot": str(plot) if plot else None}
        )


def _require_compare_alone(options: dict[str, Any]) -> None:
    from ....core.errors import ConfigError

    for option, value in options.items():
        if value is not None:
            raise ConfigError(
                f"{option} does not go with --compare",
                why="--compare draws one image in the codes that it names, and writes nothing else",
            )


def _target(source: str | None, default: str, output: str | None, as_json: bool) -> str | None:
    """Return the output: the path of a file, `-` for stdout, or None for no output.

    Raises:
        ConfigError: it cannot be written there.
    """
    from ....core.errors import ConfigError

    if output is None and source == "-":
        if as_json:  # stdout is taken by the JSON object
            return None
        output = "-"
    output = output or default
    if output == "-" and as_json:
        raise ConfigError("--json and -o - both want stdout", remedy="write the code to a file")
    if output == "-" and sys.stdout is not None and sys.stdout.isatty():
        raise ConfigError(
            "the code is binary and stdout is a terminal", remedy="redirect it, or use -o FILE.npz"
        )
    form = Path(default).suffix
    if form not in (".npz", ".npy"):
        raise ConfigError(f"--format must be npz or npy, not {form[1:]!r}")
    if output != "-" and Path(output).suffix != form:
        raise ConfigError(
            f"-o {output} does not end in {form}",
            remedy="name the file .npz (packed bits) or .npy (dense array)",
        )
    return output


def _threshold_table(code: Any) -> list[float] | None:
    slots = getattr(code, "inner", code)
    if not hasattr(slots, "thresholds"):
        return None
    return slots.thresholds.table().tolist()


def _write(target: str, form: str, encoded: EncodedImages, meta: dict[str, Any]) -> None:
    import io

    import numpy as np

    from ....coding import SpikeFile, save_spikes
    from ....core.files import write_bytes

    buffer = io.BytesIO()
    if form == "npy":
        np.save(buffer, encoded.code.numpy())
    else:
        labels = None if encoded.labels is None else encoded.labels.numpy()
        save_spikes(buffer, SpikeFile(encoded.code.numpy(), meta, labels))
    if target == "-":
        console.emit(buffer.getvalue())
    else:
        write_bytes(Path(target), buffer.getvalue())


def _draw(plot: Path, code: Any, encoded: EncodedImages) -> None:
    from ....measure.encoding import code_of
    from ....measure.figures.codes import draw_code

    draw_code(plot, code_of(code, encoded.first[0], encoded.code[:, 0]))


def _show(figures: dict[str, Any], target: str | None, plot: Path | None) -> None:
    console.note(
        f"{figures['images']} images to {figures['shape']}, "
        f"{figures['spikes_per_image']:,.1f} spikes per image, "
        f"{figures['spikes_per_pixel']:.3f} per value"
    )
    if "rmse" in figures:
        psnr = "exact" if figures["psnr_db"] is None else f"PSNR {figures['psnr_db']:.2f} dB"
        console.note(
            f"decoded: RMSE {figures['rmse']:.4f}, "
            f"greatest error {figures['greatest_error']:.4f}, {psnr}"
        )
    for file in (target, plot):
        if file not in (None, "-"):
            console.note(f"wrote {file}")
