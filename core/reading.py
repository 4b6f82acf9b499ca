"""Regular files of bounded size: pipes, devices and endless files are refused, not opened."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

MIB = 1 << 20
MAX_DOCUMENT = 8 * MIB  # a JSON file of a run
MAX_TOML = MIB  # config.toml, sweep.toml, a recipe
MAX_LINES = 32 * MIB  # metrics.jsonl and times.jsonl: some 80,000 epochs
MAX_WEIGHTS = 2048 * MIB  # weights and exported files
MAX_CHECKPOINT = 3 * MAX_WEIGHTS  # the state of an optimizer has two values for each weight

# Without blocking, should a pipe have taken the place of the file after it was looked at.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_regular(path: Path | str, *, max_size: int = MAX_DOCUMENT) -> bytes:
    """Return the content of a regular file; to open a pipe could block, so its kind is read first.

    Raises:
        OSError: it is missing, or the operating system refuses.
        ValueError: it is not a regular file, it has more than `max_size` bytes, or it grows.
    """
    with open_regular(path, max_size=max_size) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(size + 1)
    if len(content) > size:
        raise ValueError("it grows while it is read")
    return content


def open_regular(path: Path | str, *, max_size: int = MAX_DOCUMENT) -> BinaryIO:
    """Open a regular file to read it in parts.

    Raises:
        OSError: it is missing, or the operating system refuses.
        ValueError: it is not a regular file, or it has more than `max_size` bytes.
    """
    _require_regular(os.stat(path), max_size)
    file = open(os.open(path, _FLAGS), "rb")  # noqa: SIM115
    try:
        _require_regular(os.fstat(file.fileno()), max_size)
    except BaseException:
        file.close()
        raise
    return file


def why_unreadable(error: OSError | ValueError) -> str:
    """Return the reason in an error of `read_regular`, or of parsing what it read."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _require_regular(found: os.stat_result, max_size: int) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise ValueError("it is a folder")
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is not a regular file")
    if found.st_size > max_size:
        raise ValueError(f"it has {found.st_size:,} bytes, at most {max_size:,} are read")
