"""Checkpoints on disk: folders `checkpoints/step-N/` that are complete, or quarantined.

A checkpoint is written into a hidden folder, each file flushed, with a checksum of every file; then
the folder is renamed to `step-N` and its name is written to `checkpoints/latest`. If the process or
the machine stops at any moment, the newest folder `step-N` is complete.
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
from ...core.reading import MAX_CHECKPOINT, read_regular

KEPT = 2
CHECKSUMS = "checksums.json"
LATEST = "latest"
FORMAT = 1  # of checksums.json


class Damaged(Exception):
    """A checkpoint that cannot be used, with the reason."""


def write_checkpoint(checkpoints: Path, step: int, files: dict[str, bytes]) -> None:
    """Write the checkpoint of a step, and remove all but the last two.

    Args:
        checkpoints: the folder of all checkpoints; its parent exists.
        step: number of optimization steps.
        files: contents by name.

    Raises:
        AsnnError: it cannot be written; earlier checkpoints are kept.
    """
    try:
        if not checkpoints.exists():
            checkpoints.mkdir()  # without parents: the folder of the run may be gone
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
        # Rename first: a folder that is half removed must not look complete.
        with contextlib.suppress(OSError):
            old.rename(old.with_name(f".{old.name}.old{PARTIAL}"))
    remove_partial_writes(checkpoints)


def newest_first(checkpoints: Path) -> list[Path]:
    """Return the folders of all checkpoints, valid or not, the latest step first."""
    found = [path for path in checkpoints.glob("step-*") if path.name[5:].isdecimal()]
    return sorted(found, key=lambda path: int(path.name[5:]), reverse=True)


def read_checkpoint(folder: Path) -> dict[str, bytes]:
    """Return the files of a checkpoint by name, after comparing their checksums.

    Checkpoints of format 1 have no checksums and are not compared.

    Raises:
        Damaged: a file is missing or has changed.
        AsnnError: it cannot be read at the moment; it may be valid.
    """
    try:
        files = {
            path.name: read_regular(path, max_size=MAX_CHECKPOINT)
            for path in folder.iterdir()
            if path.is_file()
        }
    except ValueError as error:
        raise Damaged(f"a file cannot be read: {error}") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Damaged(error.strerror or str(error)) from error
    except OSError as error:
        remedy = "nothing has been changed: fix that, and resume again"
        raise cannot_read(folder, error, remedy=remedy) from error
    content = files.get(CHECKSUMS)
    if content is None:
        return files
    try:
        sums = dict(read_json(content)["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{CHECKSUMS} cannot be read: {error}") from error
    for name, checksum in sums.items():
        if name not in files:
            raise Damaged(f"{name} is missing")
        if hashlib.sha256(files[name]).hexdigest() != checksum:
            raise Damaged(f"{name} has changed since it was written")
    return files


def quarantine(folder: Path, reason: str) -> None:
    """Rename a damaged checkpoint to `damaged-step-N`, with a warning.

    Raises:
        AsnnError: it cannot be renamed.
    """
    target = folder.with_name(f"damaged-{folder.name}")
    count = 1
    while target.exists():
        count += 1
        target = folder.with_name(f"damaged-{folder.name}-{count}")
    try:
        folder.rename(target)
    except OSError as error:
        raise AsnnError(
            f"the checkpoint {folder} is damaged, and cannot be renamed",
            why=f"{reason}; {error.strerror or error}",
            remedy=f"remove the folder {folder} to resume from the checkpoint before it",
        ) from error
    warnings.warn(
        f"the checkpoint {folder} is damaged ({reason}): it is kept as {target.name}",
        stacklevel=3,
    )
