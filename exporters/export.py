"""Exports a network to a file, and verifies that the file computes the same as the network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import nir
import onnx

from ..core.errors import ConfigError, DataError, VerificationError
from ..core.files import write_bytes, write_json
from ..core.reading import MAX_WEIGHTS, read_regular
from ..core.registry import Registry, unknown
from ..formats.nir import read_nir
from ..formats.onnx import read_onnx
from .graph.interpreter import run
from .graph.ir import Graph, Neuron
from .graph.quantisation import WEIGHTS, Weights, with_rounded_weights
from .nir.file import write_golden, write_nir
from .nir.lif import approximated, build_lif, inexact_layers
from .nir.nodes import DT
from .nir.targets import TARGETS, check_target, problems
from .nir.unrolled import input_of, unroll
from .onnx.forms import FORMS, INPUTS, OPSET, Form, Input, build_models
from .onnx.operators import check_operators
from .paths import ExportPaths, discarded_on_failure, unverified_path
from .source import ExportSource, Samples
from .verification.compare import Report, compare, not_run
from .verification.runtimes import checks_of_nir, checks_of_onnx, driven_nir, driven_onnx
from .verification.simulators import MAX_NODES, SIMULATORS
from .verification.structure import nir_differences, onnx_differences

# An exporter from another package has the same signature: a source, a path and `samples`.
exporter_registry = Registry(
    "exporters",
    {"onnx": "exporters.export:export_onnx", "nir": "exporters.export:export_nir"},
)

NirForm = Literal["pure", "portable", "lif"]
NIR_FORMS = ("pure", "portable", "lif")
NIR_COMPATS = ("1.0.4",)
GOLDEN_SAMPLES = 8
PARITY_FORMAT = 1  # of parity.json


@dataclass(frozen=True)
class Exported:
    """The result of an export.

    Attributes:
        files: the written paths with their sizes in bytes.
        report: the verification report; None if the file was not verified.
        parity: path of the report, `parity.json`; None without a report.
        notes: remarks for the user, one line each.
    """

    files: dict[Path, int]
    report: Report | None
    parity: Path | None
    notes: list[str]


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
        form: `sequence`, `stream` (two files) or `scan`.
        input: `image`, with the encoder in the file, or `spikes`, the encoded steps; `image` by
            default if the network takes images.
        opset: version of ONNX's operators, 17 to 25.
        weights: `fp32`, `fp16` or `int8`; a file with rounded weights is compared with the network
            of the same rounded weights, and the change from fp32 is reported.

    Raises:
        ConfigError: an option is unknown, or the network cannot be written to ONNX.
        VerificationError: the file computes something else; it keeps the name `*.unverified`.
    """
    if input is None:
        input = "image" if source.takes_images else "spikes"
    for kind, name, known in (("form", form, FORMS), ("input", input, INPUTS)):
        if name not in known:
            raise unknown(f"--{kind} of onnx", name, list(known))
    if weights not in WEIGHTS:
        raise unknown("--weights", weights, list(WEIGHTS))
    paths = ExportPaths.at(Path(path), ".onnx")
    graph = _with_note(source.graph, samples, paths)
    models = build_models(
        graph, source.coding, form=form, input=input, opset=opset, weights=weights
    )
    endings = {"model": ".onnx", "init": "-init.onnx", "step": "-step.onnx"}
    files = {name: unverified_path(paths.file(endings[name])) for name in models}
    paths.check(files.values())
    paths.make()
    notes = ["the form scan is experimental"] if form == "scan" else []
    options = {"format": "onnx", "form": form, "input": input, "opset": opset, "weights": weights}
    options |= {"weights_sha256": source.weights_sha256}
    report = None
    with discarded_on_failure(files):
        for name, model in models.items():
            write_bytes(files[name], model.SerializeToString())
        if samples is not None:
            report = verify_onnx(source, files, samples, weights=weights, expected=models)
        return _finish(paths, files, options, report, notes)


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
        files: paths of `model`, or of `init` and `step`.
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


def export_nir(
    source: ExportSource,
    path: Path | str,
    *,
    samples: Samples | None,
    form: NirForm = "portable",
    compat: str | None = None,
    target: str | None = None,
    approximate: bool = False,
) -> Exported:
    """Write a network to NIR, read it back and compare it with the network.

    Beside the file, `*.golden.nir` holds inputs and expected outputs, as NIRData.

    Args:
        source: the network.
        path: a `.nir` file, or a folder.
        samples: to verify with; None writes without verification, which the metadata records.
        form: `pure` and `portable` unroll time into channels, exactly; `lif` has one LIF node per
            layer.
        compat: `1.0.4` writes a file that nir 1.0.4 can read; None for the installed version.
        target: an importer that must run the file exactly.
        approximate: replace schedules and resets that `lif` cannot express; the report compares
            the result with the original network.

    Raises:
        ConfigError: an option is unknown, the network has no exact form of that kind, or `target`
            would not run the file exactly.
        VerificationError: the file computes something else; it keeps the name `*.unverified`.
    """
    if form not in NIR_FORMS:
        raise unknown("--form of nir", form, list(NIR_FORMS))
    if compat is not None and compat not in NIR_COMPATS:
        raise unknown("--nir-compat", compat, list(NIR_COMPATS))
    paths = ExportPaths.at(Path(path), ".nir")
    written, notes = source.graph, []
    if form == "lif" and approximate:
        inexact = inexact_layers(source.graph)
        written = approximated(source.graph) if inexact else written
        notes += [f"approximated: {each.layer}: {each.why}" for each in inexact]
    approximates = written is not source.graph
    graph = _nir_graph(_with_note(written, samples, paths), form, approximates)
    if target is not None:
        check_target(graph, target)
    exact = [name for name, facts in TARGETS.items() if not problems(graph, facts)]
    for name in exact if samples is not None else ():
        if SIMULATORS[name].missing:
            missing = " ".join(SIMULATORS[name].missing)
            notes.append(f"{name} could run it and is left out: pip install {missing}")
        elif not _is_run(name, graph, target):
            notes.append(
                f"{name} could run it and is left out: its importer would take long for "
                f"{len(graph.nodes):,} nodes; --target {name} runs it"
            )
    if not exact:
        notes.append("no simulator's importer reads Scale and Threshold today; portable is read")
    files = {"model": unverified_path(paths.file(".nir"))}
    paths.check(files.values())
    paths.make()
    options = {"format": "nir", "form": form, "input": "spikes", "nir": compat or nir.version}
    options |= {"target": target, "approximates": approximates, "exact_in": exact}
    options |= {"weights_sha256": source.weights_sha256}
    report = None
    with discarded_on_failure(files):
        write_nir(files["model"], graph, compat=compat)
        if samples is not None:
            report = verify_nir(
                source.with_graph(written),
                files["model"],
                samples,
                form=form,
                original=source.graph if approximates else None,
                target=target,
                expected=graph,
                trusted=True,
            )
            files["golden"] = unverified_path(paths.file(".golden.nir"))
            _write_golden(files["golden"], source.with_graph(written), samples, form)
        return _finish(paths, files, options, report, notes)


def verify_nir(
    source: ExportSource,
    path: Path,
    samples: Samples,
    *,
    form: NirForm,
    original: Graph | None = None,
    target: str | None = None,
    expected: nir.NIRGraph | None = None,
    trusted: bool = False,
) -> Report:
    """Compare a NIR file with the network, in our interpreter and in installed simulators.

    Simulators that would not run the file exactly are left out. So are all but `target` for graphs
    of more than `MAX_NODES` nodes, which they import slowly.

    Args:
        source: the network, with the graph that the file is compared with.
        path: the file.
        samples: to compare on.
        form: the form of the file.
        original: the graph before an approximation; None if the file is exact.
        target: a simulator to run even if the graph is large.
        expected: the graph that the exporter writes, with which the structure of the file is
            compared; None compares what it computes alone.
        trusted: whether this process has just written the file.

    Raises:
        DataError: the file is damaged or hostile.
    """
    read = read_nir(path, trusted=trusted)
    exact = [
        name
        for name, facts in TARGETS.items()
        if _is_run(name, read, target) and not problems(read, facts)
    ]
    checks = checks_of_nir(read, path, source.graph, form=form, exact=exact)
    structure = None if expected is None else nir_differences(expected, read)
    driven = driven_nir(read, source.graph, unrolled=form != "lif")
    return compare(source, samples, checks, original=original, structure=structure, driven=driven)


def _is_run(name: str, graph: nir.NIRGraph, target: str | None) -> bool:
    """Return whether a simulator runs a graph of this size; the target always runs it."""
    return name == target or len(graph.nodes) <= MAX_NODES


def verify(
    source: ExportSource, path: Path | str, samples: Samples, *, structure: bool = True
) -> Report:
    """Compare an earlier export with a network.

    Args:
        source: the network.
        path: an `.onnx` or `.nir` file that asnn wrote; for a stream, either of its two files.
        samples: to compare on.
        structure: first compare nodes, weights and metadata with what the exporter writes now; a
            file that differs is not run. False runs any file of known operators, such as one that
            another tool has changed: it may take any time and memory.

    Raises:
        DataError: its metadata do not state its form, or it is damaged or hostile.
    """
    path = Path(path)
    name = path.name.removesuffix(".unverified")
    if name.endswith(".nir"):
        about = read_nir(path).metadata
        form = _text(about.get("form"))
        if form not in NIR_FORMS:
            raise _unknown_form(path)
        approximates = _text(about.get("approximates")) == "True"
        graph = approximated(source.graph) if approximates else source.graph
        original = source.graph if approximates else None
        written = None
        if structure:
            written = _nir_graph(graph, form, approximates)  # type: ignore[arg-type]
            differences = nir_differences(written, read_nir(path))
            if differences:
                return not_run(samples, differences)
        return verify_nir(
            source.with_graph(graph),
            path,
            samples,
            form=form,  # type: ignore[arg-type]
            original=original,
            expected=written,
        )
    model = read_onnx(path)
    about = {entry.key: entry.value for entry in model.metadata_props}
    form, weights, input = (about.get(key) for key in ("form", "weights", "input"))
    if form not in FORMS or weights not in WEIGHTS or input not in INPUTS:
        raise _unknown_form(path)
    files = files_of_stream(path) if form == "stream" else {"model": path}
    expected = None
    if structure:
        opset = max((each.version for each in model.opset_import if not each.domain), default=0)
        options: Any = {"form": form, "input": input, "weights": weights, "opset": opset}
        try:
            expected = build_models(source.graph, source.coding, **options)
        except ConfigError as error:
            return not_run(samples, [str(error)])
        read = {name: read_onnx(file) for name, file in files.items()}
        differences = onnx_differences(expected, read)
        if differences:
            return not_run(samples, differences)
    return verify_onnx(source, files, samples, weights=weights, expected=expected)  # type: ignore[arg-type]


def _nir_graph(graph: Graph, form: NirForm, approximates: bool) -> nir.NIRGraph:
    """Return the NIR graph of a form, with the metadata of an export."""
    about = _metadata(graph, form, approximates)
    return build_lif(graph, about) if form == "lif" else unroll(graph, form, about)


def files_of_stream(path: Path) -> dict[str, Path]:
    """Return both files of a stream, given either of them."""
    for part in ("init", "step"):
        stem, found, rest = path.name.rpartition(f"-{part}.onnx")
        if found:
            return {each: path.with_name(f"{stem}-{each}.onnx{rest}") for each in ("init", "step")}
    raise ConfigError(
        f"{path} is one of the two files of a stream",
        why="their names end with -init.onnx and -step.onnx, or neither is found",
    )


def _unknown_form(path: Path) -> DataError:
    return DataError(
        f"{path} does not state its form", why="its metadata are not those of an export of asnn"
    )


def _text(item: Any) -> str:
    return item.decode() if isinstance(item, bytes) else str(item)


def _with_note(graph: Graph, samples: Samples | None, paths: ExportPaths) -> Graph:
    """Return the graph with metadata that name the verification report, or say there is none."""
    note = "skipped" if samples is None else f"see {paths.parity.name} beside this file"
    return replace(graph, about={**graph.about, "verification": note})


_OF_STEPS = {
    "mean": "mean of the logits",
    "last": "logits of the last step",
    "first-crossing": "logits of each step; the answer are those of the first above the level",
}


def _metadata(graph: Graph, form: str, approximates: bool) -> dict[str, object]:
    resets = sorted({node.reset for node in graph.neurons if isinstance(node, Neuron)})
    unrolled = form != "lif"
    about: dict[str, object] = {
        "asnn": version("asnn"),
        "form": form,
        "dt": DT,
        "steps": graph.steps,
        "runs": "once, on all steps as channels"
        if unrolled
        else f"once a step; output: {_OF_STEPS[graph.answer.kind]}",
        "reset": ", ".join(resets),
        **{key: str(value) for key, value in graph.answer.about().items()},
        "approximates": str(approximates),
    }
    for key, item in graph.about.items():
        about[key] = item if isinstance(item, str) else json.dumps(item, sort_keys=True)
    return about


def _write_golden(path: Path, source: ExportSource, samples: Samples, form: str) -> None:
    """Write inputs, and expected outputs that are computed from the graph, not from the file."""
    code = source.encode(samples.images[:GOLDEN_SAMPLES])
    logits = run(source.graph, code).logits
    if form == "lif":
        inputs, outputs = code.swapaxes(0, 1), logits.swapaxes(0, 1)
    else:
        inputs, outputs = (
            input_of(source.graph, code)[:, None],
            source.graph.answer.of(logits)[:, None],
        )
    write_golden(path, {"input": inputs, "output": outputs})


def _sha256(path: Path) -> str:
    return hashlib.sha256(read_regular(path, max_size=MAX_WEIGHTS)).hexdigest()


def _finish(
    paths: ExportPaths,
    files: Mapping[str, Path],
    options: dict[str, Any],
    report: Report | None,
    notes: list[str],
) -> Exported:
    """Write the report; give the files their final names unless the verification failed."""
    final = {path: path.with_suffix("") for path in files.values()}
    earlier = paths.earlier()
    sizes = {name: path.stat().st_size for path, name in final.items()}
    if report is None:
        paths.parity.unlink(missing_ok=True)  # of an earlier export
        notes = [*notes, "not verified, as requested"]
    else:
        content = {"parity_format": PARITY_FORMAT, "asnn": version("asnn"), **options}
        content |= {"files": {path.name: size for path, size in sizes.items()}, "notes": notes}
        content |= {"sha256": {name.name: _sha256(path) for path, name in final.items()}}
        content |= report.as_dict()
        write_json(paths.parity, content)
        if report.fault is not None:
            paths.clear(())  # files of an earlier export would pass for this one
            removed = "; the earlier export there was removed" if earlier else ""
            error = VerificationError(
                f"the {options['format'].upper()} file does not compute what the network does",
                why=report.fault,
                remedy=f"it is kept as {next(iter(final))}; all differences are in {paths.parity}"
                + removed,
            )
            error.content = {**content, "parity": str(paths.parity)}
            raise error
    if earlier:
        names = ", ".join(path.name for path in earlier)
        notes = [*notes, f"it replaces the earlier export in {paths.folder}: {names}"]
    paths.clear(final.values())
    for path, name in final.items():
        path.replace(name)
    return Exported(sizes, report, None if report is None else paths.parity, notes)
