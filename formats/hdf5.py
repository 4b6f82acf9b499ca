"""Groups and datasets of an HDF5 file, read by a child process, because the library may crash."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..core.errors import DataError
from . import hdf5_scan
from .errors import InvalidFile, unreadable
from .files import GIB, MIB, check_file
from .hdf5_scan import DatasetInfo, Scan

# A file may declare 128 MiB of data, a large one 64 times its size, none more than 2 GiB.
MAX_DECLARED_SMALL = 128 * MIB
MAX_DECLARED_RATIO = 64
MAX_DECLARED = 2 * GIB
MAX_SECONDS = 1.0  # of processor time, for a small file
BYTES_PER_SECOND = 10e6  # a larger file gets more time; the slowest machine unpacks faster
WALL_SECONDS = 20  # the timeout beyond that, where processor time cannot be limited


class NoGraph(DataError):
    """An HDF5 file without a graph."""


@dataclass(frozen=True)
class Hdf5Contents:
    """The part of an HDF5 file that NIR uses.

    Attributes:
        tree: the group `node`: a group is a dict, a dataset a string, a number or an array. A
            dataset with several links is one read-only array.
        version: the version of the library that wrote the file, or None.
    """

    tree: dict[str, Any]
    version: str | None


def read_hdf5(path: Path | str, *, trusted: bool = False) -> Hdf5Contents:
    """Return the group `node` of an HDF5 file.

    Args:
        path: the file.
        trusted: read it in this process; for files that this process has just written.

    Raises:
        NoGraph: an HDF5 file of something else.
        DataError: the file is missing, damaged, or has features that no network needs: soft links,
            values in other files, shapes far beyond its size, cycles.
    """
    size = check_file(path)
    budget = MAX_DECLARED if trusted else _budget(size)
    try:
        tree, values, links = _read_here(path, budget) if trusted else _read_in_child(path, size)
    except DataError:
        raise
    except Exception as error:  # the library documents no list of its exceptions
        raise unreadable(path, hdf5_scan.reason(error), what="NIR file") from error
    if not isinstance(tree.get("node"), dict):
        why = "it has no group `node` with a graph; recorded data are not read"
        error = unreadable(path, why, what="NIR file")
        raise NoGraph(error.what, why=error.why, remedy=error.remedy)
    for value, count in zip(values, links, strict=True):
        if count > 1 and isinstance(value, np.ndarray):
            value.flags.writeable = False
    version = tree.get("version")
    version = values[version] if isinstance(version, int) else None
    return Hdf5Contents(
        _with_values(tree["node"], values), version if isinstance(version, str) else None
    )


def _budget(size: int) -> int:
    return min(MAX_DECLARED, max(MAX_DECLARED_SMALL, MAX_DECLARED_RATIO * size))


def _read_here(path: Path | str, budget: int) -> tuple[dict, list[Any], list[int]]:
    with hdf5_scan.open_hdf5(os.fspath(path)) as file:
        scan = Scan(file, budget)
        found = [_value(info, scan.values(i)) for i, info in enumerate(scan.datasets)]
        return scan.tree, found, _count_links(scan.tree, len(found))


def _read_in_child(path: Path | str, size: int) -> tuple[dict, list[Any], list[int]]:
    seconds = MAX_SECONDS + size / BYTES_PER_SECOND
    with start_child(os.path.abspath(path), _budget(size), seconds) as child:
        timeout = threading.Timer(seconds + WALL_SECONDS, child.kill)
        timeout.start()
        try:
            assert child.stdout is not None
            return _receive(child.stdout)
        except EOFError as error:
            child.wait()
            raise InvalidFile(_why_ended(child.returncode, seconds)) from error
        finally:
            timeout.cancel()
            with contextlib.suppress(OSError):
                child.kill()


def start_child(path: str, budget: int, seconds: float) -> subprocess.Popen[bytes]:
    """Start a process that writes the frames of a file to its stdout, see `hdf5_scan.serve`."""
    return subprocess.Popen(
        [sys.executable, "-P", hdf5_scan.__file__, path, str(budget), str(seconds)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )


def _why_ended(code: int, seconds: float) -> str:
    """Return why a child ended before its last frame."""
    if code in (-signal.SIGKILL, -getattr(signal, "SIGPROF", signal.SIGKILL)):
        return f"the HDF5 library did not finish within {seconds:.1f} s"
    return "the HDF5 library failed on it"


def _receive(stream: IO[bytes]) -> tuple[dict, list[Any], list[int]]:
    """Return the tree, the values, and the number of links to each, from the frames of a child.

    Raises:
        InvalidFile: the child refuses the file.
        EOFError: the frames end too early.
    """
    body = json.loads(_read_exactly(stream, _read_head(stream, b"M")))
    infos = [DatasetInfo(info["dtype"], tuple(info["shape"])) for info in body["datasets"]]
    values = []
    for info in infos:
        length = _read_head(stream, b"D")
        if info.is_text:
            values.append(_value(info, json.loads(_read_exactly(stream, length))))
            continue
        array = np.empty(info.shape, info.dtype)
        if length != array.nbytes:
            raise EOFError
        if length:
            _fill(stream, array.reshape(-1).view(np.uint8).data)
        values.append(_value(info, array))
    _read_head(stream, b"E")
    return body["tree"], values, _count_links(body["tree"], len(values))


def _read_head(stream: IO[bytes], letter: bytes) -> int:
    head = _read_exactly(stream, 9)
    length = int.from_bytes(head[1:], "little")
    if head[:1] == b"R":
        raise InvalidFile(_read_exactly(stream, length).decode())
    if head[:1] != letter:
        raise EOFError
    return length


def _read_exactly(stream: IO[bytes], length: int) -> bytes:
    body = stream.read(length)
    if len(body) < length:
        raise EOFError
    return body


def _fill(stream: IO[bytes], view: memoryview) -> None:
    done = 0
    while done < len(view):
        count = stream.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        done += count


def _value(info: DatasetInfo, found: Any) -> Any:
    """Return a value as `nir.read` does: a scalar as a scalar, strings as `str`."""
    if info.is_text:
        if info.shape == ():
            return found[0]
        texts = np.empty(len(found), object)
        texts[:] = found
        return texts.reshape(info.shape)
    return found[()] if info.shape == () else found


def _count_links(tree: dict, count: int) -> list[int]:
    links = [0] * count
    waiting: list[Any] = [tree]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            waiting.extend(found.values())
        else:
            links[found] += 1
    return links


def _with_values(tree: dict, values: list[Any]) -> dict[str, Any]:
    """Return the tree with each index replaced by its value."""
    return {
        name: _with_values(found, values) if isinstance(found, dict) else values[found]
        for name, found in tree.items()
    }
