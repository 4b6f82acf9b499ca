"""`asnn export`: write a trained network for other runtimes and verify the file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ...terminal import completion, console, options
from .amount import parse_samples, samples_for, samples_from_file
from .check import check_file
from .limited import is_inside, run_limited
from .options import (
    again,
    is_given,
    parse_shape,
    require_check,
    require_check_alone,
    require_file,
    require_format,
    require_origin,
    require_pair,
)
from .show import show_conditions, show_report

DEFAULT_OPSET = 20  # as in `exporters.onnx.forms`, whose import needs onnx
DEFAULT_FORMS = {"onnx": "sequence", "nir": "portable"}
MAX_SEQUENCE = 256  # steps that ONNX unrolls by default; an unrolled file of 1000 opens in seconds


def export(
    context: typer.Context,
    run: options.RunFolder = None,
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
            help="onnx: sequence, stream, scan or parts; nir: portable, pure, lif, backbone or, of "
            "imported networks, given.",
            show_default="sequence, of more than 256 steps stream; portable, of imported networks "
            "given",
        ),
    ] = None,
    input: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="image, with the code in the file (onnx only), or spikes: encoded steps.",
            show_default="image for onnx, spikes for nir",
        ),
    ] = None,
    opset: Annotated[
        int, typer.Option(help="onnx: version of its operators, 17 to 25.")
    ] = DEFAULT_OPSET,
    weights: Annotated[
        str, typer.Option(help="onnx: how weights are stored: fp32, fp16 or int8.")
    ] = "fp32",
    target: Annotated[
        str | None,
        typer.Option(help="nir: an importer that must run it exactly: snntorch, spikingjelly..."),
    ] = None,
    nir_compat: Annotated[
        str | None,
        typer.Option(help="nir: 1.0.4 writes files for readers of that version."),
    ] = None,
    allow_approximate: Annotated[
        bool,
        typer.Option("--allow-approximate", help="nir: allow an inexact lif; report the error."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File or folder.",
            show_default="RUN/export/FORMAT, or FORMAT-FORM-WEIGHTS...; with --from "
            "export/MODULE.FUNCTION/FORMAT",
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify/--no-verify", help="Run the file and compare the results."),
    ] = True,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write nothing; compare an earlier export, or a .nir or .onnx file of another "
            "tool, with the network.",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="--check: instead of RUN, another .nir or .onnx file.",
        ),
    ] = None,
    semantics: Annotated[
        str | None,
        typer.Option(
            help="--check, of a .nir file of another tool: nir, or the simulator that wrote it, "
            "as `asnn import` takes it.",
            show_default="as its metadata say, else nir",
            autocompletion=completion.one_of(*completion.SEMANTICS),
        ),
    ] = None,
    against_semantics: Annotated[
        str | None,
        typer.Option(
            help="--against, of a .nir file: as --semantics of the file of --check.",
            show_default="as its metadata say, else nir",
            autocompletion=completion.one_of(*completion.SEMANTICS),
        ),
    ] = None,
    against_dt: Annotated[
        float | None,
        typer.Option(
            help="--against, of a .nir file: length of a step in seconds.",
            show_default="--dt, or as the file says",
        ),
    ] = None,
    structure: Annotated[
        bool,
        typer.Option(
            "--structure/--no-structure",
            help="--check: first compare nodes, weights and metadata with what is written now; "
            "without, any file is run, in a process with limits.",
        ),
    ] = True,
    samples: Annotated[
        str | None,
        typer.Option(
            metavar="N|all",
            help="Verify on at most this many samples of the split.",
            show_default="512, fewer of networks that take long",
        ),
    ] = None,
    noise: Annotated[
        str,
        typer.Option(
            help="Of neurons and readouts that draw random numbers. off: without the noise; input "
            "(onnx): the numbers are inputs of the file. --check: as the file has it."
        ),
    ] = "on",
    nms: Annotated[
        bool,
        typer.Option(
            "--nms",
            help="onnx, of detectors: the boxes after non-maximum suppression are an output too. "
            "--check: as the file has it.",
        ),
    ] = False,
    dt: Annotated[
        float | None,
        typer.Option(
            help="Of neurons that fire many exact times (multi-spike): the step of the file, in "
            "units of their times. --check: as the file has it; of a .nir file of another tool "
            "that does not state it, in seconds.",
            show_default="1/100 of coding.window",
        ),
    ] = None,
    split: options.Split = "test",
    data_dir: options.DataDir = None,
    changes: options.DataChanges = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODULE:FUNCTION|FILE.py:FUNCTION",
            help="Instead of RUN: a function that returns a torch module with neurons of snnTorch "
            "or asnn.",
        ),
    ] = None,
    weights_from: Annotated[
        Path | None,
        typer.Option(
            "--weights-from",
            metavar="FILE",
            help="--from: a state_dict to load into the network, .safetensors, .pt or .pth.",
        ),
    ] = None,
    in_shape: Annotated[
        str | None,
        typer.Option(
            metavar="CxHxW",
            help="--from, --against of two .onnx files: shape of an image; CxL of a signal, F of a "
            "flat one.",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="--from, --against: number of time steps.")
    ] = None,
    samples_from: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="--from, --against: .npz (images, labels) or .npy.",
            show_default="noise",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Export a trained network to ONNX or NIR, and verify that the file computes the same.

    Exit code 3 if it does not; the file is then kept as *.unverified.

    Examples:

    asnn export --format onnx

    asnn export --format onnx --form stream --weights int8 -o deploy/

    asnn export runs/noisy --format onnx --noise input

    asnn export runs/multi-spike --format onnx --form stream --dt 0.0005

    asnn export runs/detect-digits --format onnx --nms

    asnn export --format nir --target spikingjelly

    asnn export runs/latest --check deploy/model.onnx

    asnn export runs/latest --check deploy/model.onnx --no-structure

    asnn export --from nets:make --in-shape 1x28x28 --steps 25 --check theirs.onnx

    asnn export --check theirs.nir --against ours.nir --steps 25

    asnn export --from nets:make --in-shape 1x28x28 --steps 25 --format onnx

    asnn export --from nets:make --weights-from trained.pt --in-shape 784 --steps 25 -f onnx
    """
    from ....core.errors import ConfigError, VerificationError
    from ....core.packages import require_package
    from ....core.registry import unknown
    from ....exporters.export import dt_of_file, has_boxes, is_export, noise_of_file
    from ....exporters.paths import is_onnx
    from ....exporters.runs import NOISES, samples_of_run, source_of_run
    from ....exporters.samples import has_frames
    from ....models.noise import has_noise
    from ....models.timing.clocked import has_many_times
    from ....records.open_run import open_run

    require_pair(context, check, against)
    if check is None:
        format = require_format(context, format, input, form)
    else:
        require_check_alone(context, format=format, output=output, verify=verify)
    number = parse_samples(samples)
    if check is not None and against is not None:
        from .against import check_against

        for path in (check, against):
            require_package("onnxruntime" if is_onnx(path) else "nir", f"a comparison with {path}")
        if not is_inside():
            raise typer.Exit(run_limited(again(context)))
        from ....exporters.others.pair import NamedFile

        own, other_dt = (None if is_onnx(path) else dt for path in (check, against))
        check_against(
            NamedFile(check, own, semantics),
            NamedFile(against, other_dt if against_dt is None else against_dt, against_semantics),
            steps=steps,
            in_shape=parse_shape(in_shape),
            samples_from=samples_from,
            number=number,
            as_json=as_json,
        )
        return
    other = check is not None and not is_export(require_file(check))
    require_origin(context, source, checks_other=other)
    if is_given(context, "semantics") and not other:
        raise ConfigError(
            "--semantics goes with --check and a .nir file of another tool",
            why="a file of asnn says how it is run",
        )
    if nms and (check is not None or source is not None or format != "onnx"):
        raise ConfigError(
            "--nms is for the export of a run to ONNX",
            why="only there is an operation that suppresses boxes, and a task that says which",
            remedy="use --format onnx, or leave --nms out",
        )
    if noise not in NOISES:
        raise unknown("--noise", noise, list(NOISES))
    if format in ("onnx", "nir"):
        require_package(format, f"an export to {format.upper()}")
    if verify and (format == "onnx" or (check is not None and is_onnx(check))):
        otherwise = "--no-verify" if check is None else ""
        require_package("onnxruntime", "the verification", otherwise=otherwise)
    if not structure:
        require_check(check)
    if (not structure or other) and not is_inside():
        code = run_limited(again(context))
        raise typer.Exit(code)

    verified_on = None
    if source is None:
        opened = open_run(run, data_dir=data_dir, changes=changes or [])
        if check is not None and not is_given(context, "noise") and has_noise(opened.model):
            noise = noise_of_file(require_file(check))
        if check is not None and not is_given(context, "dt") and has_many_times(opened.model):
            dt = dt_of_file(require_file(check))
        step = None if other else dt
        network, origin = source_of_run(opened, noise=noise, dt=step), str(opened.path)
        if other and run is None:
            console.note(
                f"note: {check} is compared with the newest run; name another RUN, or --from "
                "MODULE:FUNCTION, or --against FILE"
            )
        if nms or (check is not None and has_boxes(require_file(check))):
            from ....exporters.boxes.rule import with_boxes

            network = with_boxes(network, opened.task)
        folder = opened.path / "export"
        if verify:
            many = samples_for(network, number)
            verified_on = samples_of_run(opened, split, many, network)
    else:
        from ....exporters.snntorch.user_module import name_of_function, source_of_function

        network = source_of_function(
            source,
            in_shape=parse_shape(in_shape),
            steps=steps,
            weights_from=weights_from,
            frames=lambda shape: (
                (input == "spikes" and format == "onnx")
                or (samples_from is not None and has_frames(samples_from, shape))
            ),
            notify=lambda text: console.note(f"note: {text}"),
        )
        origin, folder = source, Path("export", name_of_function(source))
        if verify:
            verified_on = samples_from_file(network, samples_from, number)
        show_conditions(network.graph)

    if check is not None:
        seconds = dt if other else None
        check_file(check, network, origin, verified_on, as_json, structure, seconds, semantics)
        return
    assert format is not None
    if format == "onnx" and form is None and is_long(network):
        form = "stream"
        console.note(
            f"note: stream, two files, as a file of all {network.graph.steps} steps would open "
            "slowly; --form sequence writes it"
        )
    verifying = f", verifying on {verified_on.name}" if verified_on is not None else ""
    console.note(f"exporting {origin} to {format.upper()}{verifying}")
    imported = format == "nir" and network.imported is not None
    default = "given" if imported else DEFAULT_FORMS.get(format)
    path = output or folder / _folder_name(
        format,
        form="" if form == default else form,
        input=input if network.takes_images else None,
        weights=weights,
        opset=opset,
        target=target,
        compat=nir_compat,
        approximate=allow_approximate,
        noise=noise == "input",
        nms=nms,
        dt=dt,
    )
    options: dict[str, Any] = {}
    if format == "onnx":
        options = {"form": form or default, "input": input}
        options |= {"opset": opset, "weights": weights}
    elif format == "nir":
        options = {"form": form or default, "compat": nir_compat, "target": target}
        options |= {"approximate": allow_approximate}
    try:
        result = _exporter(format)(network, path, samples=verified_on, **options)
    except VerificationError as error:
        if as_json and error.content is not None:
            console.print_json(error.content)
        raise

    for note in result.notes:
        console.note(f"note: {note}")
    files = {str(file): size for file, size in result.files.items()}
    if as_json:
        parity = None if result.parity is None else str(result.parity)
        report = {"verified": None} if result.report is None else result.report.as_dict()
        console.print_json({"files": files, "parity": parity, "notes": result.notes, **report})
        return
    if result.report is not None:
        show_report(result.report)
    for file, size in files.items():
        console.heading(f"{file}  {size / 1000:,.1f} kB")


def is_long(network: Any) -> bool:
    """Return whether ONNX is to run a network step by step: it has many steps, and a step is all
    that its outputs need."""
    graph = getattr(network, "graph", None)
    if graph is None or graph.steps <= MAX_SEQUENCE or graph.outputs != graph.steps:
        return False
    return not graph.answer.needs_former_steps


def _folder_name(format: str, *, opset: int, **options: Any) -> str:
    """Return the name of the folder of an export, without the options that have their default."""
    from ....exporters.paths import folder_name

    defaults = {"weights": "fp32"}
    defaults["input"] = "image" if format == "onnx" else "spikes"
    kept = {key: value for key, value in options.items() if value and value != defaults.get(key)}
    return folder_name(format, opset="" if opset == DEFAULT_OPSET else str(opset), **kept)


def _exporter(format: str) -> Any:
    from ....exporters.export import exporter_registry

    return exporter_registry.get(format)
