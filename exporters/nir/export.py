"""Exports a network to NIR, and verifies that the file computes the same as the network."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import nir

from ...core.errors import ConfigError
from ...core.registry import unknown
from ...formats.nir import read_nir
from ..exported import Exported, finish, notes_of_frames, unknown_form, with_note
from ..file_size import require_size
from ..form_names import FORMS
from ..graph.interpreter import run
from ..graph.ir import Graph, Neuron
from ..parts.backbone import backbone_of, without_labels
from ..paths import ExportPaths, discarded_on_failure, unverified_path
from ..source import ExportSource, Samples
from ..timing.network import refuse_times
from ..verification.compare import Report, compare, not_run
from ..verification.simulators import MAX_NODES, MAX_VALUES, SIMULATORS
from ..verification.structure import nir_differences
from .checks import checks_of_nir, driven_nir
from .cuba import cuba_graph, export_cuba, verify_cuba
from .file import size_of, write_golden, write_nir
from .given import FORM, check_given, export_given
from .lif import approximated, build_lif, inexact_layers
from .nodes import DT
from .rewrites import with_images
from .targets import TARGETS, check_target, problems
from .unrolled import input_of, output_of, unroll

NirForm = Literal["pure", "portable", "lif", "backbone", "given"]
NIR_FORMS = FORMS["nir"]
NIR_COMPATS = ("1.0.4",)
GOLDEN_SAMPLES = 8


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
            layer; `backbone` is the part in front of an accumulator, as `portable`; `given` writes
            the nodes of a network from a NIR file.
        compat: `1.0.4` writes a file that nir 1.0.4 can read; None for the installed version.
        target: an importer that must run the file exactly.
        approximate: replace schedules and resets that `lif` cannot express; the report compares
            the result with the original network.

    Raises:
        ConfigError: an option is unknown, the network has no exact form of that kind, or `target`
            would not run the file exactly.
        VerificationError: the file computes something else; it keeps the name `*.unverified`.
    """
    refuse_times(source)
    if form not in NIR_FORMS:
        raise unknown("--form of nir", form, list(NIR_FORMS))
    if compat is not None and compat not in NIR_COMPATS:
        raise unknown("--nir-compat", compat, list(NIR_COMPATS))
    if form == FORM:
        if target is not None or compat is not None or approximate:
            raise ConfigError(
                "form given writes the nodes of the network as they are",
                why="--target, --nir-compat and --allow-approximate would change or restrict them",
                remedy="leave them out",
            )
        return export_given(source, path, samples=samples)
    source.require_graph()
    if source.exact is not None:
        if form != "portable" or target is not None or compat is not None or approximate:
            raise ConfigError(
                "a network of exact times has one form in NIR, Linear and CubaLIF nodes",
                why="its reset and steps are those of its runtime",
                remedy="leave --form, --target, --nir-compat and --allow-approximate out",
            )
        return export_cuba(source, source.exact, path, samples=samples)
    require_size(source.graph, "nir")
    if form == "backbone":
        source, samples = backbone_of(source), without_labels(samples)
    source, samples = with_images(source, samples)
    paths = ExportPaths.at(Path(path), ".nir")
    written, notes = source.graph, notes_of_frames(source, form)
    if form == "lif" and approximate:
        inexact = inexact_layers(source.graph)
        written = approximated(source.graph) if inexact else written
        notes += [f"approximated: {each.layer}: {each.why}" for each in inexact]
    approximates = written is not source.graph
    graph = _nir_graph(with_note(written, samples, paths), form, approximates)
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
                f"{len(graph.nodes):,} nodes of {size_of(graph):,} values; --target {name} runs it"
            )
    if not exact:
        reasons = [f"{name}: {problems(graph, each)[0]}" for name, each in TARGETS.items()]
        notes.append(f"no importer runs this file exactly ({'; '.join(reasons)})")
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
        return finish(paths, files, options, report, notes)


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
    of more than `MAX_NODES` nodes or `MAX_VALUES` values, which they import slowly.

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


def check_nir(source: ExportSource, path: Path, samples: Samples, *, structure: bool) -> Report:
    """Compare an earlier export with a network; see `asnn.exporters.verify`.

    Raises:
        DataError: its metadata do not state its form, or it is damaged or hostile.
    """
    about = read_nir(path).metadata
    form = _text(about.get("form"))
    if source.exact is not None and form == "cuba":
        read, differences = read_nir(path), None
        if structure:
            differences = nir_differences(cuba_graph(source.exact, source.graph.about), read)
            if differences:
                return not_run(samples, differences)
        return verify_cuba(source.exact, read, samples, structure=differences)
    if form == FORM:
        return check_given(source, path, samples)
    if form not in NIR_FORMS:
        raise unknown_form(path)
    source.require_graph()
    if form == "backbone":
        source, samples = backbone_of(source), replace(samples, labels=None)
    source, checked = with_images(source, samples)
    samples = checked or samples
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


def _is_run(name: str, graph: nir.NIRGraph, target: str | None) -> bool:
    """Return whether a simulator runs a graph of this size; the target always runs it."""
    return name == target or (len(graph.nodes) <= MAX_NODES and size_of(graph) <= MAX_VALUES)


def _nir_graph(graph: Graph, form: NirForm, approximates: bool) -> nir.NIRGraph:
    """Return the NIR graph of a form, with the metadata of an export."""
    about = _metadata(graph, form, approximates)
    if form == "lif":
        return build_lif(graph, about)
    return unroll(graph, "pure" if form == "pure" else "portable", about)


_OF_STEPS = {
    "mean": "mean of the logits",
    "last": "logits of the last step",
    "sums": "the sums of each window, one window behind the other, which a second part reads",
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
        "runs": _runs(graph, unrolled),
        "reset": ", ".join(resets),
        **{key: str(value) for key, value in graph.answer.about().items()},
        "approximates": str(approximates),
    }
    for key, item in graph.about.items():
        about[key] = item if isinstance(item, str) else json.dumps(item, sort_keys=True)
    return about


def _runs(graph: Graph, unrolled: bool) -> str:
    """Return how a file is run, and what its output is where that is not the answer."""
    if not unrolled:
        return f"once a step; output: {_OF_STEPS[graph.answer.kind]}"
    runs = "once, on all steps as channels"
    if graph.answer.kind == "sums":
        return f"{runs}; output: {_OF_STEPS['sums']}"
    if not graph.answer.chooses_step:
        return runs
    return f"{runs}; output: {_OF_STEPS[graph.answer.kind]}; one step behind the other"


def _write_golden(path: Path, source: ExportSource, samples: Samples, form: str) -> None:
    """Write inputs, and expected outputs that are computed from the graph, not from the file."""
    code = source.encode(samples.images[:GOLDEN_SAMPLES])
    logits = run(source.graph, code).logits
    if form == "lif":
        inputs, outputs = code.swapaxes(0, 1), logits.swapaxes(0, 1)
    else:
        inputs, outputs = (
            input_of(source.graph, code)[:, None],
            output_of(source.graph, logits)[:, None],
        )
    write_golden(path, {"input": inputs, "output": outputs})


def _text(item: Any) -> str:
    return item.decode() if isinstance(item, bytes) else str(item)
