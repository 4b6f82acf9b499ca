"""`asnn encode`: images to spikes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import console

if TYPE_CHECKING:
    from ..measure.encoding import Encoded

BATCH = 512


def encode(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="INPUT|-",
            help="A PNG, JPEG, .npy or .npz file, or - for stdin; none with --dataset.",
            show_default=False,
        ),
    ] = None,
    coding: Annotated[str, typer.Option(help="Code, such as temporal or hybrid.")] = "hybrid",
    steps: Annotated[int, typer.Option(help="Number of time steps T.")] = 4,
    thresholds: Annotated[
        str | None, typer.Option(help="linear or quantile.", show_default="linear")
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            help="fixed, or published: the published code's faults.", show_default="fixed"
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, max=2**63 - 1, help="Of a code that draws random numbers."),
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
        str | None, typer.Option(help="Encode a data set instead of a file.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="train, validation or test.", show_default="test"),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="The first N images only.", show_default="all")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the data set's files are.")] = None,
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
        Path | None, typer.Option(metavar="FILE.png", help="Draw the first image's steps.")
    ] = None,
    decode: Annotated[
        bool, typer.Option("--decode", help="Reconstruct the images and tell the error.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was made as one JSON object.")
    ] = False,
) -> None:
    """Encode images into spikes over T time steps.

    Examples:

    asnn encode cat.png --coding temporal --steps 8 -o cat.npz --plot cat-steps.png

    asnn encode --dataset mnist --data-dir data --limit 100 --coding embedding --decode

    cat cat.png | asnn encode - --coding latency --steps 16 > cat.npz
    """
    import torch

    from ..coding import create_coding
    from ..core.errors import ConfigError
    from ..measure.encoding import encode_all

    data_options = [text for text in options or [] if text.startswith("data.")]
    if source is not None and (split or data_dir or path or data_options):
        raise ConfigError("--split, --data-dir, --path and data.* go with --dataset only")
    split = split or "test"
    stem = f"{dataset}-{split}" if dataset else Path(source or "").stem
    form = form or ("npy" if (output or "").endswith(".npy") else "npz")
    target = _target(source, dataset, f"{stem}.{coding}.{form}", output, as_json)
    own = [text for text in options or [] if text not in data_options]
    chosen = _coding_options(coding, steps, thresholds, variant, own)
    code = create_coding(coding, steps=steps, **chosen)
    batches, name = _batches(source, dataset, split, limit, data_dir, path, data_options)
    torch.manual_seed(seed)
    made = encode_all(code, batches, decode=decode)
    meta = {
        "coding": coding,
        "steps": steps,
        "options": chosen,
        "analog_steps": code.analog_steps,
        "static": code.static,
        "thresholds": _threshold_table(code),
        "seed": seed,
        "source": name,
    }
    if target is not None:
        _write(target, form, made, meta)
    if plot is not None:
        _draw(plot, code, made)
    figures = made.figures()
    _tell(figures, target, plot)
    if as_json:
        console.print_json(
            {**meta, **figures, "output": target, "plot": str(plot) if plot else None}
        )


def _target(
    source: str | None, dataset: str | None, default: str, output: str | None, as_json: bool
) -> str | None:
    """Return where the code goes: a file's path, or `-`.

    Raises:
        ConfigError: input or output do not go together.
    """
    from ..core.errors import ConfigError

    if (source is None) == (dataset is None):
        raise ConfigError(
            "give either a file, - for stdin, or --dataset",
            remedy="for example: asnn encode cat.png, or asnn encode --dataset digits",
        )
    if output is None and source == "-":
        if as_json:  # stdout is taken: the code is only described
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


def _coding_options(
    coding: str, steps: int, thresholds: str | None, variant: str | None, options: list[str]
) -> dict[str, Any]:
    """Return the code's options, checked in the same way as those of a recipe."""
    from ..learning import check_recipe, override, parse_override

    changes: list[tuple[list[str], Any]] = [
        (["coding", "name"], coding),
        (["coding", "steps"], steps),
    ]
    named = {"thresholds": thresholds, "variant": variant}
    changes += [(["coding", key], value) for key, value in named.items() if value is not None]
    changes += [parse_override(f"coding.{option}") for option in options]
    document, _ = override({}, changes)
    return {
        key: value
        for key, value in check_recipe(document, source="the code").coding.options().items()
        if value is not None
    }


def _batches(
    source: str | None,
    dataset: str | None,
    split: str,
    limit: int | None,
    data_dir: Path | None,
    path: Path | None,
    more: list[str],
) -> tuple[Any, str]:
    """Return batches of (images `[B, C, H, W]` in [0, 1], labels or None), and their name."""
    if dataset is None:
        from ..datasets.single import read_images

        name = "stdin" if source == "-" else str(source)
        given = read_images(_read(str(source)), name)
        labels = given.labels[:limit] if given.labels is not None else None
        return [(given.images[:limit], labels)], Path(name).name
    from ..datasets import Batches, load_dataset
    from ..datasets.splits import head
    from ..learning import parse_override

    places = {"dir": data_dir, "path": path}
    options: dict[str, Any] = {key: str(place) for key, place in places.items() if place}
    options |= {key[1]: value for key, value in map(parse_override, more)}
    data = load_dataset(dataset, **options)
    chosen = head(data.split(split), limit)
    batches = Batches(chosen, batch_size=BATCH, full_scale=data.full_scale)
    return ((x, targets.first) for x, targets in batches), f"{dataset}/{split}"


def _read(source: str) -> bytes:
    from ..core.errors import DataError

    if source == "-":
        if sys.stdin is None or sys.stdin.closed:
            raise DataError("stdin is closed", remedy="pipe an image in, or name a file")
        if sys.stdin.isatty():
            raise DataError(
                "stdin is a terminal", remedy="pipe an image in: cat cat.png | asnn encode -"
            )
        try:
            return sys.stdin.buffer.read()
        except OSError as error:
            raise DataError("stdin cannot be read", why=str(error)) from error
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {source}", why=error.strerror or str(error)) from error


def _threshold_table(code: Any) -> list[float] | None:
    slots = getattr(code, "inner", code)
    if not hasattr(slots, "thresholds"):
        return None
    return slots.thresholds.table().tolist()


def _write(target: str, form: str, made: Encoded, meta: dict[str, Any]) -> None:
    import io

    import numpy as np

    from ..coding import SpikeFile, save_spikes
    from ..core.files import write_bytes

    buffer = io.BytesIO()
    if form == "npy":
        np.save(buffer, made.code.numpy())
    else:
        labels = None if made.labels is None else made.labels.numpy()
        save_spikes(buffer, SpikeFile(made.code.numpy(), meta, labels))
    if target == "-":
        console.emit(buffer.getvalue())
    else:
        write_bytes(Path(target), buffer.getvalue())


def _draw(plot: Path, code: Any, made: Encoded) -> None:
    from ..core.errors import ConfigError
    from ..measure.pictures import draw_code

    one = made.code[:, :1].to(made.first.dtype)
    try:
        decoded = code.decode(one, code.moments(made.first))[0]
    except ConfigError:  # a code without a decoder is drawn without one
        decoded = None
    draw_code(plot, made.first[0], one[:, 0], code.analog_steps, decoded)


def _tell(figures: dict[str, Any], target: str | None, plot: Path | None) -> None:
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
