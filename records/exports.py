"""The exports of a run: whether what `parity.json` says of them still holds."""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.documents import read_json
from ..core.reading import MAX_WEIGHTS, MIB, open_regular, read_regular
from .layout import Run

VERIFIED = "verified"
NOT_VERIFIED = "not verified"
UNKNOWN = "unknown"  # no report, or a damaged one
CHANGED = "changed since"
OTHER_WEIGHTS = "of other weights"
UNSTATED = "verified, changes since unknown"  # by a version that stated no checksums

REASONS = {
    NOT_VERIFIED: "is not verified",
    UNKNOWN: "is not verified",
    CHANGED: "has changed since it was verified",
    OTHER_WEIGHTS: "is of other weights: those of the run were trained on since",
    UNSTATED: "was verified; whether its files or the weights have changed since is not known",
}


@dataclass(frozen=True)
class ExportState:
    """Whether the verification of an export still holds.

    Attributes:
        state: of the whole export, one of the constants above.
        files: the state of each file that the report names.
    """

    state: str
    files: dict[str, str]

    @property
    def verified(self) -> bool | None:
        """Whether the files are those that were verified, with these weights; None if unknown."""
        return {VERIFIED: True, UNKNOWN: None, UNSTATED: True}.get(self.state, False)

    @property
    def reason(self) -> str:
        """What follows "the export" where it is not simply verified; else empty."""
        return REASONS.get(self.state, "")


def export_state(folder: Path, parity: dict[str, Any], weights: str | None) -> ExportState:
    """Compare the files of an export, and the weights of the run, with the verification report.

    Args:
        folder: of the files.
        parity: `parity.json`; empty if it is missing or damaged.
        weights: the SHA-256 of the run's weights now; None if they are not known.
    """
    names = parity.get("files")
    names = list(names) if isinstance(names, dict) else []
    verified = parity.get("verified")
    if verified is not True:
        return _all(names, UNKNOWN if verified is None else NOT_VERIFIED)
    stated, trained = parity.get("sha256"), parity.get("weights_sha256")
    if not isinstance(stated, dict) or not names:
        return _all(names, UNSTATED)
    files = {
        name: VERIFIED if _sha256(folder / Path(name).name) == stated.get(name) else CHANGED
        for name in names
    }
    if isinstance(trained, str) and weights is not None and trained != weights:
        files = {name: each if each == CHANGED else OTHER_WEIGHTS for name, each in files.items()}
    worst = [each for each in (CHANGED, OTHER_WEIGHTS) if each in files.values()]
    return ExportState(worst[0] if worst else VERIFIED, files)


def export_states(run: Run, parities: dict[str, dict[str, Any]]) -> dict[str, ExportState]:
    """Return the state of each export of a run, by its folder.

    Args:
        run: the run.
        parities: of `read_exports`.
    """
    weights = weights_now(run) if parities else None
    return {
        name: export_state(run.path / "export" / name, parity, weights)
        for name, parity in parities.items()
    }


def state_of_file(path: Path) -> ExportState | None:
    """Return the state of an exported file, from the report beside it; None if there is none."""
    for parity in (path.parent / "parity.json", path.with_name(f"{_named(path)}.parity.json")):
        try:
            found = read_json(read_regular(parity))
        except (OSError, ValueError):
            continue
        names = found.get("files")
        if isinstance(names, dict) and path.name in names:
            above = path.absolute().parents  # RUN/export/FORMAT/FILE
            inside = len(above) > 2 and above[1].name == "export"
            weights = weights_now(Run(above[2])) if inside else None
            state = export_state(path.parent, found, weights).files[path.name]
            return ExportState(state, {path.name: state})
    return None


def weights_now(run: Run) -> str | None:
    """Return the SHA-256 of a run's weights; None if they cannot be read.

    That of a finished run is in its summary: whoever reads the weights compares them with it.
    """
    try:
        own = run.own_weights()
    except ValueError:
        own = None
    return next(iter(own)) if own is not None and len(own) == 1 else _sha256(run.model)


def _all(names: list[str], state: str) -> ExportState:
    return ExportState(state, dict.fromkeys(names, state))


def _named(path: Path) -> str:
    """Return the name of the file that a report beside it is called after."""
    for ending in ("-init.onnx", "-step.onnx", "-backbone.onnx", "-head.onnx", ".golden.nir"):
        if path.name.endswith(ending):
            return path.name.removesuffix(ending) + path.suffix
    return path.name


def _sha256(path: Path) -> str | None:
    """Return the SHA-256 of a regular file; None if it cannot be read."""
    try:
        found = os.stat(path)
        return _sha256_of(path.absolute(), found.st_ino, found.st_size, found.st_mtime_ns)
    except (OSError, ValueError):
        return None


@functools.lru_cache(maxsize=1024)
def _sha256_of(path: Path, *identity: int) -> str:
    digest = hashlib.sha256()
    with open_regular(path, max_size=MAX_WEIGHTS) as file:
        while part := file.read(MIB):
            digest.update(part)
    return digest.hexdigest()
