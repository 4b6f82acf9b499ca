"""Training states on disk: folders `checkpoints/step-N/` that are whole, or set aside.

A state is written into a hidden folder, file by file, each flushed, with a checksum of every file;
then the folder is moved to its name, and `checkpoints/latest` comes to name it. Whatever moment a
process or a machine stops at, the newest state that bears its name is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from pathlib import Path

from ...core.documents import read_json
from ...core.errors import AsnnError
from ...core.files import (
    PARTIAL,
    atomic_folder,
    cannot_read,
    cannot_write,
    fsync_folder,
    remove_partial_writes,
    write_bytes,
    write_json,
    write_text,
)

KEPT = 2
CHECKSUMS = "checksums.json"
LATEST = "latest"
FORMAT = 1  # of checksums.json


class Damaged(Exception):
    """A training state that cannot be used, with the reason."""


def write_state(checkpoints: Path, step: int, files: dict[str, bytes]) -> None:
    """Write the state after a step, and remove all but the last two.

    Args:
        checkpoints: the folder of all states, in a folder that exists.
        step: steps made.
        files: contents by name.

    Raises:
        AsnnError: it cannot be written; the states that were there stay.
    """
    try:
        if not checkpoints.exists():
            checkpoints.mkdir()  # but not the run's folder, should that have gone
            fsync_folder(checkpoints.parent)
    except OSError as error:
        raise cannot_write(checkpoints, error) from error
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    with atomic_folder(checkpoints / f"step-{step}") as folder:
        for name, content in files.items():
            write_bytes(folder / name, content)
        write_json(folder / CHECKSUMS, {"format": FORMAT, "sha256": sums})
    write_text(checkpoints / LATEST, f"step-{step}\n")
    for old in newest_first(checkpoints)[KEPT:]:
        # Out of sight first: what is half removed must not be taken for whole.
        with contextlib.suppress(OSError):
            old.rename(old.with_name(f".{old.name}.old{PARTIAL}"))
    remove_partial_writes(checkpoints)


def newest_first(checkpoints: Path) -> list[Path]:
    """Return the folders of all states, whole or not, the one after the most steps first."""
    found = [path for path in checkpoints.glob("step-*") if path.name[5:].isdecimal()]
    return sorted(found, key=lambda path: int(path.name[5:]), reverse=True)


def read_state(state: Path) -> dict[str, bytes]:
    """Return the files of a state by name, once each is as it was written.

    A state from before there were checksums is taken as it is.

    Raises:
        Damaged: a file is missing or has changed.
        AsnnError: it cannot be read now; that says nothing about what it holds.
    """
    try:
        files = {path.name: path.read_bytes() for path in state.iterdir() if path.is_file()}
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Damaged(error.strerror or str(error)) from error
    except OSError as error:
        remedy = "nothing has been changed: mend that, and resume again"
        raise cannot_read(state, error, remedy=remedy) from error
    content = files.get(CHECKSUMS)
    if content is None:
        return files
    try:
        sums = dict(read_json(content)["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{CHECKSUMS} cannot be read: {error}") from error
    for name, total in sums.items():
        if name not in files:
            raise Damaged(f"{name} is missing")
        if hashlib.sha256(files[name]).hexdigest() != total:
            raise Damaged(f"{name} is not what was written")
    return files


def set_aside(state: Path, reason: str) -> None:
    """Rename a damaged state so that nothing takes it for one, and say so."""
    place = state.with_name(f"damaged-{state.name}")
    count = 1
    while place.exists():
        count += 1
        place = state.with_name(f"damaged-{state.name}-{count}")
    try:
        state.rename(place)
    except OSError as error:
        raise AsnnError(
            f"the training state {state} is damaged, and cannot be set aside",
            why=f"{reason}; {error.strerror or error}",
            remedy=f"remove the folder {state} to go on from the state before it",
        ) from error
    warnings.warn(
        f"the training state {state} is damaged ({reason}): it is kept as {place.name}",
        stacklevel=3,
    )
