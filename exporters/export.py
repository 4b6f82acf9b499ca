"""Writing a network to a file, and proving that the file computes the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import nir

from ..core.errors import ConfigError, VerificationError
from ..core.files import write_bytes, write_json
from ..core.registry import Registry, unknown
from ..formats.nir import read_nir
from ..formats.onnx import read_onnx
from .graph.interpreter import run
from .graph.ir import Graph
from .graph.quantisation import WEIGHTS, Weights, with_rounded_weights
from .nir.file import write_golden, write_nir
from .nir.lif import approximated, build_lif, faults_of
from .nir.nodes import DT
from .nir.targets import TARGETS, check_target, problems
from .nir.unrolled import input_of, unroll
from .onnx.forms import FORMS, INPUTS, OPSET, Form, Input, build_models
from .paths import ExportPaths, unverified_path
from .source import ExportSource, Samples
from .verification.compare import Report, checks_of_nir, checks_of_onnx, compare
from .verification.simulators import MOST_NODES, SIMULATORS

# An exporter of another package is called with a subject, a path and `samples`, as these are.
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
    """What an export has written.

    Attributes:
        files: paths with their sizes in bytes.
        report: of the verification; None where it was not wanted.
        parity: path of the report.
        notes: what the user is to know.
    """

    files: dict[Path, int]
    report: Report | None
    parity: Path | None
    notes: list[str]


def export_onnx(
    subject: ExportSource,
    path: Path | str,
    *,
    samples: Samples | None,
    form: Form = "sequence",
    input: Input = "image",
    opset: int = OPSET,
    weights: Weights = "fp32",
) -> Exported:
    """Write a network to ONNX, read it back and compare it with the network.

    Args:
        subject: the network.
        path: a `.onnx` file, or a folder.
        samples: to verify with; None writes without a verification, and says so in the file.
        form: `sequence`, `stream` (two files) or `scan`.
        input: `image` with the encoder inside, or `spikes`: encoded steps.
        opset: version of ONNX's operators, 17 to 25.
        weights: `fp32`, `fp16` or `int8`; what is not fp32 is held to the same rounded weights, and
            the change from fp32 is told.

    Raises:
        ConfigError: an option is unknown, or the network cannot be said in ONNX.
        VerificationError: the file computes something else; it is renamed `*.unverified`.
    """
    for kind, name, known in (("form", form, FORMS), ("input", input, INPUTS)):
        if name not in known:
            raise unknown(f"--{kind} of onnx", name, list(known))
    if weights not in WEIGHTS:
        raise unknown("--weights", weights, list(WEIGHTS))
    place = ExportPaths.at(Path(path), ".onnx")
    graph = _with_note(subject.graph, samples, place)
    models = build_models(
        graph, subject.coding, form=form, input=input, opset=opset, weights=weights
    )
    ends = {"model": ".onnx", "init": "-init.onnx", "step": "-step.onnx"}
    paths = {name: unverified_path(place.file(ends[name])) for name in models}
    place.check(paths.values())
    place.make()
    for name, model in models.items():
        write_bytes(paths[name], model.SerializeToString())
    notes = ["the form scan is experimental"] if form == "scan" else []
    report = None
    if samples is not None:
        report = verify_onnx(subject, paths, samples, weights=weights)
    options = {"format": "onnx", "form": form, "input": input, "opset": opset, "weights": weights}
    return _finish(place, paths, options, report, notes)


def verify_onnx(
    subject: ExportSource, paths: Mapping[str, Path], samples: Samples, *, weights: Weights = "fp32"
) -> Report:
    """Compare ONNX files with the network, in onnxruntime.

    Args:
        subject: the network.
        paths: `model`, or `init` and `step`.
        samples: to compare on.
        weights: how the files store weights.

    Raises:
        DataError: a file is damaged or hostile.
    """
    rounded = subject.with_graph(with_rounded_weights(subject.graph, weights))
    models = {name: read_onnx(path) for name, path in paths.items()}
    return compare(
        rounded,
        samples,
        checks_of_onnx(models, paths, rounded),
        original=None if weights == "fp32" else subject.graph,
    )


def export_nir(
    subject: ExportSource,
    path: Path | str,
    *,
    samples: Samples | None,
    form: NirForm = "portable",
    compat: str | None = None,
    target: str | None = None,
    approximate: bool = False,
) -> Exported:
    """Write a network to NIR, read it back and compare it with the network.

    Beside the file, `*.golden.nir` holds an input and the output that belongs to it, as NIRData.

    Args:
        subject: the network.
        path: a `.nir` file, or a folder.
        samples: to verify with; None writes without a verification, and says so in the file.
        form: `pure` and `portable` unroll time in space, exactly; `lif` has one LIF neuron a layer.
        compat: `1.0.4`: for readers of that version.
        target: an importer that must run the file exactly.
        approximate: let `lif` stand for schedules and resets that it cannot say; the loss is told.

    Raises:
        ConfigError: an option is unknown, or the network cannot be said in that form.
        VerificationError: the file computes something else; it is renamed `*.unverified`.
    """
    if form not in NIR_FORMS:
        raise unknown("--form of nir", form, list(NIR_FORMS))
    if compat is not None and compat not in NIR_COMPATS:
        raise unknown("--nir-compat", compat, list(NIR_COMPATS))
    place = ExportPaths.at(Path(path), ".nir")
    written, notes = subject.graph, []
    if form == "lif" and approximate:
        faults = faults_of(subject.graph)
        written = approximated(subject.graph) if faults else written
        notes += [f"approximated: {fault.layer}: {fault.why}" for fault in faults]
    approximates = written is not subject.graph
    about = _metadata(_with_note(written, samples, place), form, approximates)
    sketch = build_lif(written, about) if form == "lif" else unroll(written, form, about)
    if target is not None:
        check_target(sketch, target)
    exact = [name for name, facts in TARGETS.items() if not problems(sketch, facts)]
    for name in exact if samples is not None else ():
        if SIMULATORS[name].missing:
            lacks = " ".join(SIMULATORS[name].missing)
            notes.append(f"{name} could run it, and is not asked: pip install {lacks}")
        elif not _is_asked(name, sketch, target):
            notes.append(
                f"{name} could run it, and is not asked: its importer would take long for "
                f"{len(sketch.nodes):,} nodes; --target {name} asks it"
            )
    if not exact:
        notes.append("no simulator's importer reads Scale and Threshold today; portable is read")
    paths = {"model": unverified_path(place.file(".nir"))}
    place.check(paths.values())
    place.make()
    write_nir(paths["model"], sketch, compat=compat)
    report = None
    if samples is not None:
        report = verify_nir(
            subject.with_graph(written),
            paths["model"],
            samples,
            form=form,
            original=subject.graph if approximates else None,
            target=target,
            trusted=True,
        )
        paths["golden"] = unverified_path(place.file(".golden.nir"))
        _write_golden(paths["golden"], subject.with_graph(written), samples, form)
    options = {"format": "nir", "form": form, "input": "spikes", "nir": compat or nir.version}
    options |= {"target": target, "approximates": approximates, "exact_in": exact}
    return _finish(place, paths, options, report, notes)


def verify_nir(
    subject: ExportSource,
    path: Path,
    samples: Samples,
    *,
    form: NirForm,
    original: Graph | None = None,
    target: str | None = None,
    trusted: bool = False,
) -> Report:
    """Compare a NIR file with the network: from the file alone, and in every simulator at hand.

    Simulators are not asked about graphs that their importers would take long for.

    Args:
        subject: the network, with the graph that the file is held to.
        path: the file.
        samples: to compare on.
        form: of the file.
        original: the graph before an approximation.
        target: a simulator to ask however large the graph is.
        trusted: whether the file was written just now, by us.

    Raises:
        DataError: the file is damaged or hostile.
    """
    read = read_nir(path, trusted=trusted)
    exact = [
        name
        for name, facts in TARGETS.items()
        if _is_asked(name, read, target) and not problems(read, facts)
    ]
    checks = checks_of_nir(read, path, subject.graph, form=form, exact=exact)
    return compare(subject, samples, checks, original=original)


def _is_asked(name: str, graph: nir.NIRGraph, target: str | None) -> bool:
    """Return whether a simulator is to run a graph, if it is there and would run it exactly."""
    return name == target or len(graph.nodes) <= MOST_NODES


def verify(subject: ExportSource, path: Path | str, samples: Samples) -> Report:
    """Compare a file that was exported earlier with a network.

    Args:
        subject: the network.
        path: an `.onnx` or `.nir` file that asnn wrote; of a stream, either of its two.
        samples: to compare on.

    Raises:
        ConfigError: the file does not say in which form it is.
        DataError: it is damaged or hostile.
    """
    path = Path(path)
    name = path.name.removesuffix(".unverified")
    if name.endswith(".nir"):
        about = read_nir(path).metadata
        form = _text(about.get("form"))
        if form not in NIR_FORMS:
            raise _unlabelled(path)
        approximates = _text(about.get("approximates")) == "True"
        held = approximated(subject.graph) if approximates else subject.graph
        original = subject.graph if approximates else None
        return verify_nir(subject.with_graph(held), path, samples, form=form, original=original)  # type: ignore[arg-type]
    about = {entry.key: entry.value for entry in read_onnx(path).metadata_props}
    if about.get("form") not in FORMS or about.get("weights") not in WEIGHTS:
        raise _unlabelled(path)
    paths = {"model": path}
    if about["form"] == "stream":
        paths = _of_stream(path)
    return verify_onnx(subject, paths, samples, weights=about["weights"])  # type: ignore[arg-type]


def _of_stream(path: Path) -> dict[str, Path]:
    """Return both files of a stream, of either of them."""
    for part in ("init", "step"):
        stem, found, rest = path.name.rpartition(f"-{part}.onnx")
        if found:
            return {each: path.with_name(f"{stem}-{each}.onnx{rest}") for each in ("init", "step")}
    raise ConfigError(
        f"{path} is one of the two files of a stream",
        why="their names end with -init.onnx and -step.onnx, or neither is found",
    )


def _unlabelled(path: Path) -> ConfigError:
    return ConfigError(
        f"{path} does not say what it holds", why="its metadata are not those of an export of asnn"
    )


def _text(item: Any) -> str:
    return item.decode() if isinstance(item, bytes) else str(item)


def _with_note(graph: Graph, samples: Samples | None, place: ExportPaths) -> Graph:
    """Return a graph that says where its file's verification is told."""
    note = "skipped" if samples is None else f"see {place.parity.name} beside this file"
    return replace(graph, about={**graph.about, "verification": note})


def _metadata(graph: Graph, form: str, approximates: bool) -> dict[str, object]:
    resets = sorted({node.reset for node in graph.neurons})
    once = form != "lif"
    about: dict[str, object] = {
        "asnn": version("asnn"),
        "form": form,
        "dt": DT,
        "steps": graph.steps,
        "runs": "once, on all steps as channels" if once else "once a step; answer: mean of logits",
        "reset": ", ".join(resets),
        "approximates": str(approximates),
    }
    for key, item in graph.about.items():
        about[key] = item if isinstance(item, str) else json.dumps(item, sort_keys=True)
    return about


def _write_golden(path: Path, subject: ExportSource, samples: Samples, form: str) -> None:
    """Write an input and the output that belongs to it, from the graph and not from the file."""
    code = subject.encode(samples.images[:GOLDEN_SAMPLES])
    logits = run(subject.graph, code).logits
    if form == "lif":
        inputs, outputs = code.swapaxes(0, 1), logits.swapaxes(0, 1)
    else:
        inputs, outputs = input_of(subject.graph, code)[:, None], logits.mean(0)[:, None]
    write_golden(path, {"input": inputs, "output": outputs})


def _finish(
    place: ExportPaths,
    paths: Mapping[str, Path],
    options: dict[str, Any],
    report: Report | None,
    notes: list[str],
) -> Exported:
    """Write the report, and give the files their names if they are what they should be."""
    final = {path: path.with_suffix("") for path in paths.values()}
    sizes = {name: path.stat().st_size for path, name in final.items()}
    if report is None:
        place.parity.unlink(missing_ok=True)  # of an earlier export
        notes = [*notes, "not verified, as asked for"]
    else:
        files = {path.name: size for path, size in sizes.items()}
        content = {"parity_format": PARITY_FORMAT, "asnn": version("asnn"), **options}
        content |= {"files": files, "notes": notes}
        content |= report.as_dict()
        write_json(place.parity, content)
        if report.fault is not None:
            place.clear(())  # an earlier export would pass for this one
            error = VerificationError(
                f"the {options['format'].upper()} file does not compute what the network does",
                why=report.fault,
                remedy=f"it is kept as {next(iter(final))}; all differences are in {place.parity}",
            )
            error.content = {**content, "parity": str(place.parity)}
            raise error
    place.clear(final.values())
    for path, name in final.items():
        path.replace(name)
    return Exported(sizes, report, None if report is None else place.parity, notes)
