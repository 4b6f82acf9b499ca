"""The files of an export after their verification: their names, and the report beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..core.errors import DataError, VerificationError
from ..core.files import write_json
from ..core.reading import MAX_WEIGHTS, read_regular
from .graph.ir import Graph
from .paths import ExportPaths
from .source import ExportSource, Samples
from .verification.compare import Report

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


def with_note(graph: Graph, samples: Samples | None, paths: ExportPaths) -> Graph:
    """Return the graph with metadata that name the verification report, or say there is none."""
    note = "skipped" if samples is None else f"see {paths.parity.name} beside this file"
    return replace(graph, about={**graph.about, "verification": note})


def notes_of_frames(source: ExportSource, form: str) -> list[str]:
    """Return how a file takes the input of a network that reads another frame at each step."""
    if source.takes_images or source.graph.static:
        return []
    steps, shape = source.graph.steps, list(source.graph.in_shape)
    if form == "stream":
        return [f"it takes one frame {shape} a call, {steps} for a sample"]
    if form in ("portable", "pure", "backbone"):
        joined = [steps * shape[0], *shape[1:]]
        return [f"its input has all {steps} frames of a sample, one behind the other: {joined}"]
    if form in ("lif", "given"):
        return [f"it takes one frame {shape} a step, {steps} for a sample"]
    shown = ", ".join(map(str, shape))
    return [f"its input has a frame for each step: [{steps}, N, {shown}]"]


def finish(
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


def unknown_form(path: Path) -> DataError:
    """Return the error for a file whose metadata do not state its form."""
    return DataError(
        f"{path} does not state its form", why="its metadata are not those of an export of asnn"
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(read_regular(path, max_size=MAX_WEIGHTS)).hexdigest()
