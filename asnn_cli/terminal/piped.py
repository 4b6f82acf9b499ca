"""Inputs that may be stdin or a pipe, read whole and within bounds."""

from __future__ import annotations

import os
import select
import stat
import sys
from typing import BinaryIO

MAX_INPUT = 4 * 2**30  # bytes of a file
MAX_PIPED = 2**30  # bytes of stdin, or of a pipe
READ_AT_ONCE = 2**24
PATIENCE = 10.0  # seconds until a pipe has a writer

# To open a pipe without a writer would wait for one forever.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_input(source: str, *, example: str, instead: str) -> bytes:
    """Return the content of a file, of a pipe that the shell makes of `<(command)`, or of stdin.

    Args:
        source: the path, or `-` for stdin.
        example: a command line with a pipe, for messages.
        instead: what to give instead of what is too large.

    Raises:
        IsADirectoryError: it is a folder.
        DataError: it cannot be read, is too large, or nothing is written to the pipe.
    """
    from ...core.errors import DataError

    if source == "-":
        if sys.stdin is None or sys.stdin.closed:
            raise DataError("stdin is closed", remedy="pipe an image in, or name a file")
        if sys.stdin.isatty():
            raise DataError("stdin is a terminal", remedy=f"pipe an image in: {example}")
        try:
            return _bounded(sys.stdin.buffer, "stdin", MAX_PIPED, instead)
        except OSError as error:
            raise DataError("stdin cannot be read", why=str(error)) from error
    try:
        with open(os.open(source, _FLAGS), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_ISFIFO(mode):
                _wait_for_writer(file, source, example)
            limit = MAX_INPUT if stat.S_ISREG(mode) else MAX_PIPED
            return _bounded(file, source, limit, instead)
    except IsADirectoryError:
        raise
    except OSError as error:
        raise DataError(f"cannot read {source}", why=error.strerror or str(error)) from error


def _wait_for_writer(file: BinaryIO, name: str, example: str) -> None:
    """Wait until something can be read from a pipe.

    Raises:
        DataError: nothing has been written to it in time.
    """
    from ...core.errors import DataError

    if not select.select([file], [], [], PATIENCE)[0]:
        raise DataError(
            f"{name} is a pipe to which nothing is written",
            why=f"nothing came in {PATIENCE:g} seconds",
            remedy=f"pipe the input in: {example}",
        )
    os.set_blocking(file.fileno(), True)


def _bounded(file: BinaryIO, name: str, limit: int, instead: str) -> bytes:
    """Return the content of a file or a pipe, which may be endless.

    Raises:
        DataError: it has more than `limit` bytes.
    """
    from ...core.errors import DataError

    parts, left = [], limit
    while part := file.read(min(left + 1, READ_AT_ONCE)):
        parts.append(part)
        left -= len(part)
        if left < 0:
            raise DataError(
                f"{name} has more than {limit / 2**30:g} GiB",
                why="an input is read whole",
                remedy=instead,
            )
    return b"".join(parts)
