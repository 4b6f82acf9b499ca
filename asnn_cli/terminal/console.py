"""Output: notes, tables and errors for people go to stderr, data alone to stdout."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from ...core.errors import AsnnError
from ...core.files import cannot_write
from ...core.text import printable
from ...core.units import UNKNOWN as UNKNOWN

WIDTH = 80  # of lines where there is no terminal
debug = False
silent = False  # in all processes of a distributed training but the first
shown_warnings: set[str] = set()


class ClosedStream(io.TextIOBase):
    """stdout that the caller has closed: whatever is written to it fails."""

    def write(self, text: str) -> int:
        raise AsnnError("could not write stdout", why="it is closed", remedy="leave it open")


class PipeClosed(Exception):
    """The reader of stdout has closed it; the program ends without a message."""


def emit(content: str) -> None:
    """Write text to stdout.

    Raises:
        PipeClosed: its reader has closed it.
        AsnnError: it is closed, or the disk behind it is full.
    """
    if not silent:
        with _writing_stdout():
            sys.stdout.write(content)


@contextlib.contextmanager
def binary_stdout() -> Iterator[BinaryIO]:
    """Yield stdout, to write bytes to it.

    Raises:
        PipeClosed, AsnnError: as `emit`.
    """
    if silent:
        yield io.BytesIO()
        return
    with _writing_stdout():
        yield sys.stdout.buffer


@contextlib.contextmanager
def _writing_stdout() -> Iterator[None]:
    if sys.stdout is None or isinstance(sys.stdout, ClosedStream):
        raise AsnnError("could not write stdout", why="it is closed", remedy="leave it open")
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError as error:
        silence(sys.stdout)
        raise PipeClosed from error
    except OSError as error:
        silence(sys.stdout)
        raise cannot_write(Path("stdout"), error) from error


def silence(stream: TextIO) -> None:
    """Redirect a closed stream to /dev/null, since the interpreter flushes it once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def stderr(*, even_if_silent: bool = False) -> Any:
    """Return a rich console on stderr, without colour if that is no terminal."""
    from rich.console import Console

    class TolerantConsole(Console):
        def on_broken_pipe(self) -> None:
            # A training continues when the reader of its progress is gone.
            self.quiet = True
            silence(sys.stderr)

        def _write_buffer(self) -> None:
            try:
                super()._write_buffer()
            except OSError as error:  # the terminal has been closed
                if error.errno not in (errno.EIO, errno.EBADF):
                    raise
                self.on_broken_pipe()

    quiet = silent and not even_if_silent
    # A file has the same width wherever it is written: rich would ask the terminal of stdin.
    width = None if sys.stderr.isatty() or "COLUMNS" in os.environ else WIDTH
    return TolerantConsole(stderr=True, highlight=False, soft_wrap=True, quiet=quiet, width=width)


def note(text: str) -> None:
    """Print one line."""
    stderr().print(printable(text), markup=False)


def heading(text: str) -> None:
    """Print one bold line."""
    stderr().print(printable(text), style="bold", markup=False)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table that fits the terminal; the first column is text, the others are figures."""
    out = stderr()
    out.print(laid_out(title, columns, rows, out), soft_wrap=False)


def laid_out(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], out: Any) -> Any:
    """Return a table that fits the console `out`, its control characters escaped."""
    from .tables import lay_out

    cells = [list(map(printable, row)) for row in rows]
    return lay_out(printable(title), list(map(printable, columns)), cells, out.width)


def curve(values: Sequence[float]) -> str:
    """Return a sparkline in characters that stderr can encode."""
    from .sparkline import BLOCKS, PLAIN, sparkline

    return sparkline(values, levels=PLAIN if stderr().options.ascii_only else BLOCKS)


def print_json(content: Any) -> None:
    """Write one JSON object to stdout."""
    emit(json.dumps(content, indent=2, allow_nan=False) + "\n")


def show_warning(message: Warning | str, *location: Any, **more: Any) -> None:
    """Print a Python warning in one line, once, without its location in the code."""
    if str(message) not in shown_warnings:
        shown_warnings.add(str(message))
        note(f"warning: {message}")


def show_error(error: Exception) -> None:
    """Print what went wrong, why and what to do, unless the first process of several prints it."""
    if getattr(error, "of_first", False):
        return
    out = stderr(even_if_silent=True)
    if not isinstance(error, AsnnError):
        show = getattr(error, "show", None)
        if show is not None:
            show(file=sys.stderr)
        else:
            out.print(f"error: {printable(str(error))}", style="red", markup=False)
        return
    out.print(f"error: {printable(error.what)}", style="bold red", markup=False)
    for line in error.why.splitlines():
        out.print(f"  {printable(line)}", markup=False)
    if error.remedy:
        out.print(f"  → {printable(error.remedy)}", markup=False)


def percent(share: float) -> str:
    """Return a share as `97.50 %`."""
    return f"{100 * share:.2f} %"


def duration(seconds: float) -> str:
    """Return a time as `42 s`, `3 min 05 s` or `2 h 04 min`."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
