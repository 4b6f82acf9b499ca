"""Files that appear whole or not at all, and outlast a machine that stops."""

from __future__ import annotations

import contextlib
import errno
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

PART, FORMER = ".part", ".former"

# What reading a damaged .npz raises, at one place or another of zipfile, zlib and numpy.
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

# What helps when the operating system refuses to write.
REMEDIES = {
    errno.ENOSPC: "free some space, or choose another place with --out or -o",
    errno.EDQUOT: "free some of your quota, or choose another place with --out or -o",
    errno.EFBIG: "raise the limit (ulimit -f), or choose another place with --out or -o",
    errno.EACCES: "give yourself permission, or choose another place with --out or -o",
    errno.EPERM: "give yourself permission, or choose another place with --out or -o",
    errno.EROFS: "the disk is read-only: choose another place with --out or -o",
    errno.ENOENT: "the folder is missing or was removed: make it, or choose another place",
    errno.EMFILE: "raise the limit of open files (ulimit -n), or lower train.workers",
    errno.ENFILE: "the machine has too many files open: close some programs",
    errno.EIO: "the disk fails: choose another place with --out or -o",
}


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, and move it there once the block is through.

    If the block fails, the temporary file is removed and `path` keeps its former content.

    Raises:
        AsnnError: the operating system refuses (no such folder, no permission, disk full).
    """
    target = Path(os.path.realpath(path))  # a link is kept, and what it leads to is replaced
    if target.exists() and not target.is_file():
        raise AsnnError(
            f"could not write {path}",
            why="it is not a regular file",
            remedy="name a file, or use -o - for stdout",
        )
    temporary = None
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=PART)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        # mkstemp makes files private; what we keep has the permissions of any new file.
        temporary.chmod(0o666 & ~_umask())
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
        flush_folder(target.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):  # what refuses to write may refuse this as well
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`, and move it there once the block is through.

    Files in it are flushed when they are written (`write_bytes` does), the folder before it is
    moved.

    Raises:
        AsnnError: the operating system refuses.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART))
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        flush_folder(temporary)
        if path.exists():
            # Out of the way first, so that one of the two is whole at any moment.
            former = temporary.with_suffix(FORMER)
            path.replace(former)
            try:
                temporary.replace(path)
            except OSError:
                former.replace(path)
                raise
            shutil.rmtree(former, ignore_errors=True)
        else:
            temporary.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, unless it is there.

    Raises:
        AsnnError: the operating system refuses.
    """
    missing = [each for each in (path, *path.parents) if not each.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        for each in missing:
            flush_folder(each.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def recover(parent: Path) -> None:
    """Put folders in `parent` back that a kill in `whole_folder` has left out of the way, and
    remove what was half written."""
    for former in parent.glob(f".*{FORMER}"):
        path = parent / former.name[1:].rsplit(".", 2)[0]
        with contextlib.suppress(OSError):
            if not path.exists():
                former.replace(path)
    remove_parts(parent)


def remove_parts(folder: Path) -> None:
    """Remove what writes that were killed have left behind in a folder that is nobody else's."""
    for part in [*folder.glob(f".*{PART}"), *folder.glob(f".*{FORMER}")]:
        with contextlib.suppress(OSError):
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink()


def is_part(path: Path) -> bool:
    """Tell whether a file is what a write that was killed has left behind."""
    return path.name.startswith(".") and path.suffix in (PART, FORMER)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, whole or not at all."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Write `content` to `path` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def cannot_write(path: Path, error: OSError) -> AsnnError:
    """Return the error that says why `path` could not be written."""
    return AsnnError(
        f"could not write {path}",
        why=error.strerror or str(error),
        remedy=REMEDIES.get(error.errno or 0, "choose another place with --out or -o"),
    )


def cannot_read(path: Path, error: OSError, *, remedy: str) -> AsnnError:
    """Return the error that says why `path` could not be read."""
    return AsnnError(f"could not read {path}", why=error.strerror or str(error), remedy=remedy)


def flush_folder(path: Path) -> None:
    """Let a folder's entries reach the disk, where the file system can do that."""
    if os.name != "posix":
        return
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # one may write to a folder that one may not read
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
