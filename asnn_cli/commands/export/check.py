"""`asnn export --check`: an earlier export, or a file of another tool, compared with a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...terminal import console
from .show import show_report, show_spikes


def check_file(
    file: Path,
    network: Any,
    origin: str,
    samples: Any,
    as_json: bool,
    structure: bool,
    dt: float | None,
    semantics: str | None,
) -> None:
    """Compare an earlier export, or a file of another tool, with the network.

    Args:
        file: the file.
        network: the source of an export.
        origin: of the network, to name it.
        samples: to compare on.
        as_json: print the report as JSON.
        structure: first compare nodes, weights and metadata of an export of asnn.
        dt: length of a step in seconds, of a file of another tool that does not state it.
        semantics: of a NIR file of another tool: `nir`, or the simulator that wrote it; None for
            what its metadata name.

    Raises:
        DataError: it cannot be read, or not be compared.
        VerificationError: it computes something else.
    """
    from ....core.errors import VerificationError
    from ....exporters import verify

    console.note(f"comparing {file} with {origin} on {samples.name}")
    report = verify(network, file, samples, structure=structure, dt=dt, semantics=semantics)
    show_check(report, as_json, file=str(file), network=origin)
    if report.structure:
        raise VerificationError(
            f"{file} is not what asnn exports of {origin}",
            why="\n".join(report.structure),
            remedy="export it again; --no-structure compares what a changed file computes",
        )
    if report.fault is not None:
        raise VerificationError(f"{file} does not compute what the network does", why=report.fault)


def show_check(report: Any, as_json: bool, **names: str) -> None:
    """Show how a file compares, with its notes; as JSON with the names of what is compared."""
    if as_json:
        console.print_json({**names, **report.as_dict(), "notes": report.notes})
        return
    for note in report.notes:
        console.note(f"note: {note}")
    show_report(report)
    for parity in report.parities:
        show_spikes(parity)
