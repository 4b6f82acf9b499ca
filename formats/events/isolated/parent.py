"""Arrays of a file that a library reads in a child process, which may fail in any way."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from ...errors import InvalidFile
from ...files import MIB

T = TypeVar("T")

# The arrays of a file may have 32 MiB, those of a large one 16 times its size.
MAX_SMALL = 32 * MIB
MAX_RATIO = 16
MAX_SECONDS = 0.5  # of processor time, for a small file
BYTES_PER_SECOND = 10e6  # a larger file gets more time
WALL_SECONDS = 20  # the timeout beyond that, where processor time cannot be limited
MAX_LINE = 16 * MIB  # of names


def read_in_child(kind: str, path: Path | str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays of a file by name, and what else the child notes of it.

    Args:
        kind: which library reads it, a key of `child.READERS`.
        path: the file.

    Raises:
        InvalidFile: the library refuses the file, fails on it, or exceeds a limit.
    """
    size = os.stat(path).st_size
    budget = max(MAX_SMALL, MAX_RATIO * size)
    seconds = MAX_SECONDS + size / BYTES_PER_SECOND
    with _start(kind, os.path.abspath(path), budget, seconds) as child:
        timeout = threading.Timer(seconds + WALL_SECONDS, child.kill)
        timeout.start()
        try:
            assert child.stdout is not None
            return _receive(child.stdout, budget)
        except EOFError as error:
            child.wait()
            raise InvalidFile(_why_ended(kind, child.returncode, seconds)) from error
        finally:
            timeout.cancel()
            with contextlib.suppress(OSError):
                child.kill()


def on_disk(content: bytes, suffix: str, read: Callable[[Path], T]) -> T:
    """Return what `read` says of a temporary file with `content`; the libraries want a path."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(content)
        return read(path)


def _start(kind: str, path: str, budget: int, seconds: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", f"{__package__}.child", kind, path, str(budget), str(seconds)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(each for each in sys.path if each),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        },
    )


def _receive(stream: IO[bytes], budget: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    line = stream.readline(MAX_LINE)
    if not line.endswith(b"\n"):
        raise EOFError
    try:
        head = json.loads(line)
    except ValueError as error:
        raise EOFError from error
    if "refused" in head:
        raise InvalidFile(head["refused"])
    arrays = {}
    for name, dtype, shape in head["arrays"]:
        count = math.prod(shape) * np.dtype(dtype).itemsize
        budget -= count
        if budget < 0:
            raise InvalidFile("its arrays are too large for a file of this size")
        content = np.empty(count, np.uint8)
        _fill(stream, content.data)
        arrays[name] = content.view(dtype).reshape(shape)
    return arrays, head["notes"]


def _fill(stream: IO[bytes], view: memoryview) -> None:
    done = 0
    while done < len(view):
        count = stream.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        done += count


def _why_ended(kind: str, code: int, seconds: float) -> str:
    """Return why a child ended before it had written everything."""
    if code in (-signal.SIGKILL, -getattr(signal, "SIGPROF", signal.SIGKILL)):
        return f"the {kind} library did not finish within {seconds:.1f} s"
    return f"the {kind} library failed on it"
