"""Regular files of bounded size."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..core.errors import DataError
from ..core.reading import open_regular, read_regular, why_unreadable
from .errors import sanitize

MIB = 1 << 20
GIB = 1 << 30
MAX_SIZE = 2 * GIB  # the limit of protobuf; networks of this kind are far smaller


def check_file(path: Path | str, *, max_size: int = MAX_SIZE) -> int:
    """Return the size of a regular file, without opening it: to open a pipe could block.

    Raises:
        DataError: it is missing, empty, too large, or not a regular file.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        raise DataError(
            f"there is no {sanitize(path)}" if missing else f"{sanitize(path)} cannot be read",
            why="" if missing else sanitize(getattr(error, "strerror", None) or error),
            remedy="give the path of a file, or of a run" if missing else "",
        ) from error
    if stat.S_ISDIR(found.st_mode):
        raise DataError(f"{sanitize(path)} is a folder", remedy="name a file in it")
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{sanitize(path)} is not a regular file")
    if not found.st_size:
        raise DataError(f"{sanitize(path)} is empty")
    if found.st_size > max_size:
        raise DataError(
            f"{sanitize(path)} is too large",
            why=f"it has {found.st_size:,} bytes, at most {max_size:,} are read",
        )
    return found.st_size


def read_bytes(path: Path | str, count: int = -1, *, max_size: int = MAX_SIZE) -> bytes:
    """Return the first `count` bytes of a regular file, or all of them.

    Raises:
        DataError: as `check_file`, or the operating system refuses.
    """
    check_file(path, max_size=max_size)
    try:
        if count < 0:
            return read_regular(path, max_size=max_size)
        with open_regular(path, max_size=max_size) as file:
            return file.read(count)
    except (OSError, ValueError) as error:
        raise DataError(f"{sanitize(path)} cannot be read", why=why_unreadable(error)) from error
