"""`asnn export`: a trained network as a file for other runtimes, with proof."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ...terminal import completion, console
from .source import load_samples, load_subject

ONNX_ONLY = ("opset", "weights")
NIR_ONLY = ("target", "nir_compat", "allow_approximate")
RUN_ONLY = {"run": "RUN", "split": "--split", "data_dir": "--data-dir", "changes": "--set"}
FROM_ONLY = {"in_shape": "--in-shape", "steps": "--steps", "samples_from": "--samples-from"}
NOISE_SAMPLES = 64


def export(
    context: typer.Context,
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN",
            help="Folder of a run.",
            show_default="the newest",
            autocompletion=completion.runs,
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="onnx or nir.",
            show_default=False,
            autocompletion=completion.one_of("onnx", "nir"),
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            help="onnx: sequence, stream or scan; nir: portable, pure or lif.",
            show_default="sequence, portable",
        ),
    ] = None,
    input: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="image, with the encoder inside (onnx only), or spikes: encoded steps.",
            show_default="image for onnx, spikes for nir",
        ),
    ] = None,
    opset: Annotated[int, typer.Option(help="onnx: version of its operators, 17 to 25.")] = 20,
    weights: Annotated[
        str, typer.Option(help="onnx: how weights are stored: fp32, fp16 or int8.")
    ] = "fp32",
    target: Annotated[
        str | None,
        typer.Option(help="nir: an importer that must run it exactly: snntorch, spikingjelly..."),
    ] = None,
    nir_compat: Annotated[
        str | None, typer.Option(help="nir: 1.0.4 writes what readers of that version take.")
    ] = None,
    allow_approximate: Annotated[
        bool,
        typer.Option("--allow-approximate", help="nir: let lif come near, and say what it costs."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File or folder.",
            show_default="RUN/export/FORMAT; with --from export/FORMAT",
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Run the file and compare.")
    ] = True,
    check: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write nothing; compare an earlier export with RUN."),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=1, help="Verify on this many samples of the split, at most.")
    ] = 512,
    split: Annotated[
        str,
        typer.Option(
            help="test, validation or train.",
            autocompletion=completion.one_of(*completion.SPLITS),
        ),
    ] = "test",
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Where the data set's files are.", show_default="as in training"),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="data.KEY=VALUE",
            help="Where the data are now, such as data.path=images.zip. Repeatable.",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODULE:FUNCTION",
            help="Instead of RUN: a function that returns a network of snnTorch.",
        ),
    ] = None,
    in_shape: Annotated[
        str | None,
        typer.Option(metavar="CxHxW", help="--from: shape of an image; F for flat ones."),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="--from: number of time steps.")] = None,
    samples_from: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="--from: .npz (images, labels) or .npy.", show_default="noise"
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object.")
    ] = False,
) -> None:
    """Export a trained network to ONNX or NIR, and prove that the file computes the same.

    Exit code 3: it does not; the file is then kept as *.unverified.

    Examples:

    asnn export --format onnx

    asnn export --format onnx --form stream --weights int8 -o deploy/

    asnn export --format nir --target spikingjelly

    asnn export runs/latest --check deploy/model.onnx

    asnn export --from nets:make --in-shape 1x28x28 --steps 25 --format onnx
    """
    from ....core.errors import ConfigError, VerificationError
    from ....exporters import export_nir, export_onnx
    from ....exporters import verify as verify_file
    from ....exporters.export import exporter_registry
    from ....exporters.runs import samples_of, source_of_run
    from ....records.open_run import open_run

    if check is None:
        _check_format(context, format, input)
    elif format is not None or output is not None or not verify:
        raise ConfigError(
            "--check goes without --format, -o and --no-verify", why="it writes nothing"
        )
    else:
        _check_alone(context)
    _check_origin(context, source)
    wanted = None
    if source is not None:
        subject = load_subject(source, in_shape, steps)
        origin, home = source, Path()
        if verify:
            asked = _is_given(context, "samples")
            number = samples if asked or samples_from is not None else NOISE_SAMPLES
            wanted = _samples_for(subject, samples_from, number)
        if "holds_while" in subject.graph.about:
            console.note(f"note: exact while {subject.graph.about['holds_while']}")
    else:
        opened = open_run(run, data_dir=data_dir, changes=changes or [])
        subject = source_of_run(opened)
        origin, home = str(opened.path), opened.path
        if verify:
            wanted = samples_of(opened.data, split, samples)
    if check is not None:
        assert wanted is not None
        _check_there(check)
        console.note(f"comparing {check} with {origin} on {wanted.name}")
        report = verify_file(subject, check, wanted)
        _tell(report, as_json, {"file": str(check), **report.as_dict()})
        if report.fault is not None:
            raise VerificationError(
                f"{check} does not compute what the network does", why=report.fault
            )
        return
    assert format is not None
    place = output or home / "export" / format
    on = f", verifying on {wanted.name}" if wanted is not None else ""
    console.note(f"exporting {origin} to {format.upper()}{on}")
    try:
        if format == "onnx":
            result = export_onnx(
                subject,
                place,
                samples=wanted,
                form=form or "sequence",  # type: ignore[arg-type]
                input=input or "image",  # type: ignore[arg-type]
                opset=opset,
                weights=weights,  # type: ignore[arg-type]
            )
        elif format == "nir":
            result = export_nir(
                subject,
                place,
                samples=wanted,
                form=form or "portable",  # type: ignore[arg-type]
                compat=nir_compat,
                target=target,
                approximate=allow_approximate,
            )
        else:
            result = exporter_registry.get(format)(subject, place, samples=wanted)
    except VerificationError as error:
        if as_json and error.content is not None:
            console.print_json(error.content)
        raise
    files = {str(path): size for path, size in result.files.items()}
    parity = None if result.parity is None else str(result.parity)
    content: dict[str, Any] = {"files": files, "parity": parity, "notes": result.notes}
    if result.report is not None:
        content |= result.report.as_dict()
    else:
        content["verified"] = None
    for note in result.notes:
        console.note(f"note: {note}")
    _tell(result.report, as_json, content)
    if not as_json:
        for path, size in files.items():
            console.heading(f"{path}  {size / 1000:,.1f} kB")


def _check_format(context: typer.Context, format: str | None, input: str | None) -> None:
    """Refuse options that do not go with the format."""
    from ....core.errors import ConfigError
    from ....core.registry import unknown
    from ....exporters.export import exporter_registry

    formats = exporter_registry.names()
    if format is None:
        raise ConfigError("--format is missing", why=f"choose from {', '.join(formats)}")
    if format not in formats:
        raise unknown("--format", format, formats)
    own = {"onnx": ONNX_ONLY, "nir": NIR_ONLY}
    others = [name for other, names in own.items() if other != format for name in names]
    for name in others:
        if _is_given(context, name):
            option = name.replace("_", "-")
            raise ConfigError(f"--{option} does not go with --format {format}")
    if format == "nir" and input == "image":
        raise ConfigError(
            "--input image does not go with --format nir",
            why="NIR has no nodes that encode an image",
            remedy="encode with `asnn encode`, or export to onnx",
        )


def _check_alone(context: typer.Context) -> None:
    """Refuse options of an export beside --check: the file says itself what it is."""
    from ....core.errors import ConfigError

    for name in ("form", "input", *ONNX_ONLY, *NIR_ONLY):
        if _is_given(context, name):
            option = name.replace("_", "-")
            raise ConfigError(f"--{option} does not go with --check", why="the file tells it")


def _check_origin(context: typer.Context, source: str | None) -> None:
    """Refuse options of runs with --from, and those of --from without it."""
    from ....core.errors import ConfigError

    for name, option in (RUN_ONLY if source is not None else FROM_ONLY).items():
        if _is_given(context, name):
            if source is None:
                raise ConfigError(f"{option} goes with --from", why="a run knows it by itself")
            raise ConfigError(
                f"{option} does not go with --from", why="the network comes from a function"
            )


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _check_there(path: Path) -> None:
    from ....core.errors import DataError

    if not path.is_file():
        raise DataError(f"{path} is not a file", remedy="give an .onnx or .nir file")


def _samples_for(subject: Any, path: Path | None, number: int) -> Any:
    from ....exporters import random_samples

    if path is None:
        return random_samples(subject.graph.in_shape, number)
    return load_samples(path, subject.graph.in_shape, number)


def _tell(report: Any, as_json: bool, content: dict[str, Any]) -> None:
    if as_json:
        console.print_json(content)
        return
    if report is None:
        return
    rows = []
    for parity in report.parities:
        found = parity.as_dict()
        flips = sum(sum(steps) for steps in found["spike_mismatches"].values())
        rows.append(
            [
                parity.runtime,
                "-" if parity.error else f"{found['greatest_logit_difference']:.1e}",
                f"{100 * found['argmax_agreement']:.2f}",
                str(flips) if found["spike_mismatches"] else "-",
                f"{found['ms_per_sample']:.2f}",
                "yes" if parity.agrees else ("NO" if parity.gates else "-"),
            ]
        )
    heads = ["runtime", "logits ±", "same %", "flips", "ms/sample", "agrees"]
    console.table(f"{len(report.samples)} samples", heads, rows)
    for name, value in report.accuracy.items():
        console.note(f"accuracy of the {name} on these samples: {console.percent(value)}")
    for name in report.quiet:
        console.note(f"warning: {name} fires never or always here, so little is compared behind it")
