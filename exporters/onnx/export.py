"""Exports a network to ONNX, and verifies that the files compute the same as the network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from ...core.errors import ConfigError
from ...core.files import write_bytes
from ...core.registry import unknown
from ...formats.onnx import read_onnx
from ..exact_times import step_error
from ..exported import Exported, finish, notes_of_frames, unknown_form, with_note
from ..file_size import require_size
from ..graph.quantisation import WEIGHTS, Weights, with_rounded_weights
from ..paths import ExportPaths, discarded_on_failure, unverified_path
from ..source import ExportSource, Samples
from ..timing.network import TimingSource
from ..verification.compare import Report, compare, not_run
from ..verification.structure import onnx_differences
from .checks import checks_of_onnx, driven_onnx
from .forms import FORMS, INPUTS, OPSET, Form, Input, build_models
from .operators import check_operators

PARTS = {"stream": ("init", "step"), "parts": ("backbone", "head")}
"""The models of forms of two files."""


def export_onnx(
    source: ExportSource,
    path: Path | str,
    *,
    samples: Samples | None,
    form: Form = "sequence",
    input: Input | None = None,
    opset: int = OPSET,
    weights: Weights = "fp32",
) -> Exported:
    """Write a network to ONNX, read it back and compare it with the network.

    Args:
        source: the network.
        path: a `.onnx` file, or a folder.
        samples: to verify with; None writes without verification, which the metadata records.
        form: `sequence`, `stream` or `parts` (two files each), or `scan`.
        input: `image`, with the encoder in the file, or `spikes`, the encoded steps; `image` by
            default if the network takes images.
        opset: version of ONNX's operators, 17 to 25.
        weights: `fp32`, `fp16` or `int8`; a file with rounded weights is compared with the network
            of the same rounded weights, and the change from fp32 is reported.

    Raises:
        ConfigError: an option is unknown, or the network cannot be written to ONNX.
        VerificationError: the file computes something else; it keeps the name `*.unverified`.
    """
    if isinstance(source, TimingSource):
        from ..timing.export import export_times

        options = {"form": form, "input": input, "weights": weights}
        return export_times(source, path, samples=samples, opset=opset, **options)
    source.require_graph()
    if input is None:
        input = "image" if source.takes_images else "spikes"
    for kind, name, known in (("form", form, FORMS), ("input", input, INPUTS)):
        if name not in known:
            raise unknown(f"--{kind} of onnx", name, list(known))
    if weights not in WEIGHTS:
        raise unknown("--weights", weights, list(WEIGHTS))
    require_size(source.graph, "onnx", weights)
    paths = ExportPaths.at(Path(path), ".onnx")
    graph = with_note(source.graph, samples, paths)
    models = build_models(
        graph,
        source.coding,
        form=form,
        input=input,
        opset=opset,
        weights=weights,
        boxes=source.boxes,
    )
    files = {name: unverified_path(paths.file(_ending(name))) for name in models}
    paths.check(files.values())
    paths.make()
    notes = notes_of_frames(source, form) if input == "spikes" else []
    notes += ["the form scan is experimental"] if form == "scan" else []
    if source.exact is not None and samples is not None:
        steps = (source.exact.dt, source.exact.dt / 2)
        errors = [step_error(source.exact, samples.images, dt) for dt in steps]
        notes += [f"discretisation, {error}" for error in errors]
    options = {"format": "onnx", "form": form, "input": input, "opset": opset, "weights": weights}
    options |= {"weights_sha256": source.weights_sha256}
    report = None
    with discarded_on_failure(files):
        for name, model in models.items():
            write_bytes(files[name], model.SerializeToString())
        if samples is not None:
            report = verify_onnx(source, files, samples, weights=weights, expected=models)
        return finish(paths, files, options, report, notes)


def verify_onnx(
    source: ExportSource,
    files: Mapping[str, Path],
    samples: Samples,
    *,
    weights: Weights = "fp32",
    expected: Mapping[str, onnx.ModelProto] | None = None,
) -> Report:
    """Compare ONNX files with the network, in onnxruntime.

    Args:
        source: the network.
        files: paths of `model`, of `init` and `step`, of `backbone` and `head`, or of all three of
            `init`, `step` and `head`.
        samples: to compare on.
        weights: how the files store weights.
        expected: the models that the exporter writes, with which the structure of the files is
            compared; None compares what they compute alone.

    Raises:
        DataError: a file is damaged or hostile.
    """
    rounded = source.with_graph(with_rounded_weights(source.graph, weights))
    models = {name: read_onnx(path) for name, path in files.items()}
    check_operators(models.values())
    return compare(
        rounded,
        samples,
        checks_of_onnx(models, files, rounded),
        original=None if weights == "fp32" else source.graph,
        structure=None if expected is None else onnx_differences(expected, models),
        driven=driven_onnx(models, rounded.graph),
    )


def check_onnx(source: ExportSource, path: Path, samples: Samples, *, structure: bool) -> Report:
    """Compare an earlier export with a network; see `asnn.exporters.verify`.

    Raises:
        DataError: its metadata do not state its form, or it is damaged or hostile.
    """
    if isinstance(source, TimingSource):
        from ..timing.export import check_times

        return check_times(source, path, samples, structure=structure)
    model = read_onnx(path)
    about = {entry.key: entry.value for entry in model.metadata_props}
    form, weights, input = (about.get(key) for key in ("form", "weights", "input"))
    if form not in FORMS or weights not in WEIGHTS or input not in INPUTS:
        raise unknown_form(path)
    files = files_of_form(path, about)
    expected = None
    if structure:
        opset = max((each.version for each in model.opset_import if not each.domain), default=0)
        options: Any = {"form": form, "input": input, "weights": weights, "opset": opset}
        options["boxes"] = source.boxes
        try:
            expected = build_models(source.graph, source.coding, **options)
        except ConfigError as error:
            return not_run(samples, [str(error)])
        read = {name: read_onnx(file) for name, file in files.items()}
        differences = onnx_differences(expected, read)
        if differences:
            return not_run(samples, differences)
    return verify_onnx(source, files, samples, weights=weights, expected=expected)  # type: ignore[arg-type]


def _ending(part: str) -> str:
    """Return the end of the name of a file."""
    return ".onnx" if part == "model" else f"-{part}.onnx"


def files_of_form(path: Path, about: Mapping[str, str]) -> dict[str, Path]:
    """Return the files of a form by their part, given the file or one of several.

    Args:
        path: of the file.
        about: its metadata.

    Raises:
        ConfigError: the name does not say which of them it is.
    """
    parts = PARTS.get(about["form"])
    if parts is None:
        return {"model": path}
    if about["form"] == "stream" and "windows" in about:
        parts = (*parts, "head")
    for part in parts:
        stem, found, rest = path.name.rpartition(_ending(part))
        if found:
            return {each: path.with_name(f"{stem}{_ending(each)}{rest}") for each in parts}
    number = {2: "two", 3: "three"}[len(parts)]
    raise ConfigError(
        f"{path} is one of the {number} files of a network",
        why=f"their names end with {' and '.join(map(_ending, parts))}, or none is found",
    )
