"""Atomic writes that survive a power failure, and the errors of files that cannot be used."""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import AsnnError
from .folder_lock import is_free, locked_descriptor

PARTIAL, PREVIOUS = ".part", ".former"  # suffixes of temporary names

# The exceptions that zipfile, zlib and numpy raise on a damaged .npz.
ARCHIVE_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)

# What to do when the operating system refuses a write, by errno.
REMEDIES = {
    errno.ENOSPC: "free some space, or choose another path with --out or -o",
    errno.EDQUOT: "free some of your quota, or choose another path with --out or -o",
    errno.EFBIG: "raise the limit (ulimit -f), or choose another path with --out or -o",
    errno.EACCES: "give yourself permission, or choose another path with --out or -o",
    errno.EPERM: "give yourself permission, or choose another path with --out or -o",
    errno.EROFS: "the disk is read-only: choose another path with --out or -o",
    errno.ENOENT: "the folder is missing or was removed: make it, or choose another path",
    errno.EMFILE: "raise the limit of open files (ulimit -n), or lower train.workers",
    errno.ENFILE: "the machine has too many files open: close some programs",
    errno.EIO: "the disk fails: choose another path with --out or -o",
}


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds.

    If the block fails, the temporary file is removed and `path` keeps its previous content. What a
    killed process has left is removed by the next write to `path`: no process has locked it.

    Raises:
        AsnnError: the operating system refuses (no such folder, no permission, disk full).
    """
    target = Path(os.path.realpath(path))  # a link stays, its target is replaced
    if target.exists() and not target.is_file():
        raise AsnnError(
            f"could not write {path}",
            why="it is not a regular file",
            remedy="name a file, or use -o - for stdout",
        )
    temporary, held = None, contextlib.ExitStack()
    try:
        _remove_abandoned(target)
        handle, name = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.name}.", suffix=PARTIAL
        )
        temporary = Path(name)
        held.enter_context(locked_descriptor(handle))
        yield temporary
        # mkstemp makes files private; the result gets the permissions of any new file.
        temporary.chmod(0o666 & ~_umask())
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
        fsync_folder(target.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        held.close()
        if temporary is not None:
            with contextlib.suppress(OSError):  # a full or read-only disk may refuse this too
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; rename it to `path` when the block succeeds.

    The block must fsync the files that it writes, as `write_bytes` does.

    Raises:
        AsnnError: the operating system refuses.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL))
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        fsync_folder(temporary)
        if path.exists():
            # The old folder moves away first, so that one complete folder exists at any moment.
            previous = temporary.with_suffix(PREVIOUS)
            path.replace(previous)
            try:
                temporary.replace(path)
            except OSError:
                previous.replace(path)
                raise
            shutil.rmtree(previous, ignore_errors=True)
        else:
            temporary.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents; do nothing if it exists.

    Raises:
        AsnnError: the operating system refuses.
    """
    missing = [each for each in (path, *path.parents) if not each.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        for each in missing:
            fsync_folder(each.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def require_writable(folder: Path, *, path: Path | None = None, remedy: str = "") -> None:
    """Refuse a folder in which no file can be made, before work is done for nothing.

    Args:
        folder: an existing folder.
        path: what is to be written in it, for the message.
        remedy: what to do, instead of what the reason suggests.

    Raises:
        AsnnError: the operating system refuses.
    """
    try:
        tempfile.TemporaryFile(dir=folder, prefix=".", suffix=PARTIAL).close()
    except OSError as error:
        refused = cannot_write(path or folder, error)
        refused.remedy = remedy or refused.remedy
        raise refused from error


def recover(parent: Path) -> None:
    """Restore the folders in `parent` that a kill in `atomic_folder` has moved away, and remove
    partial writes."""
    for previous in parent.glob(f".*{PREVIOUS}"):
        path = parent / previous.name[1:].rsplit(".", 2)[0]
        with contextlib.suppress(OSError):
            if not path.exists():
                previous.replace(path)
    remove_partial_writes(parent)


def remove_partial_writes(folder: Path) -> None:
    """Remove what killed writes have left in a folder that no other process writes to."""
    for left in [*folder.glob(f".*{PARTIAL}"), *folder.glob(f".*{PREVIOUS}")]:
        with contextlib.suppress(OSError):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()


def _remove_abandoned(target: Path) -> None:
    """Remove the temporary files of killed writes to `target`; those in use are locked.

    Where files cannot be locked, as on Windows, they stay.
    """
    for left in target.parent.glob(f".{glob.escape(target.name)}.*{PARTIAL}"):
        if left.is_file() and is_free(left):
            with contextlib.suppress(OSError):
                left.unlink()


def is_partial_write(path: Path) -> bool:
    """Return whether a path was left by a killed write."""
    return path.name.startswith(".") and path.suffix in (PARTIAL, PREVIOUS)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, atomically."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Write `content` to `path` as indented JSON, atomically."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def cannot_write(path: Path, error: OSError) -> AsnnError:
    """Return the error that says why `path` could not be written."""
    return AsnnError(
        f"could not write {path}",
        why=error.strerror or str(error),
        remedy=REMEDIES.get(error.errno or 0, "choose another path with --out or -o"),
    )


def cannot_read(path: Path, error: OSError, *, remedy: str) -> AsnnError:
    """Return the error that says why `path` could not be read."""
    return AsnnError(f"could not read {path}", why=error.strerror or str(error), remedy=remedy)


def fsync_folder(path: Path) -> None:
    """Write a folder's entries to the disk, where the file system supports it."""
    if os.name != "posix":
        return
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # a folder can be writable and not readable
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
