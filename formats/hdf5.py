"""Names and arrays of an HDF5 file, read by a child process that may fail in place of this one."""

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
from .hdf5_scan import Leaf, Refused, Scan
from .opening import GIB, MIB, check_file, damaged

# What a file may declare: this much whatever its size, and more only as it is larger itself.
DECLARED = 128 * MIB
DECLARED_BY_SIZE = 64
DECLARED_AT_MOST = 2 * GIB
SECONDS = 1.0  # of processor time, for a file of any size
BYTES_A_SECOND = 10e6  # and more for a larger one; the slowest machine inflates faster
PATIENCE = 20  # seconds of the clock beyond that, where processor time cannot be limited


@dataclass(frozen=True)
class Contents:
    """What an HDF5 file holds.

    Attributes:
        tree: a group is a dict; a dataset a string, a number or an array. A dataset that is linked
            from several places is one array, which cannot be written to.
        version: what the file says of the library that wrote it, or None.
    """

    tree: dict[str, Any]
    version: str | None


def read_hdf5(path: Path | str, *, trusted: bool = False) -> Contents:
    """Return what lies under `node` in an HDF5 file.

    Args:
        path: the file.
        trusted: this process wrote it a moment ago: read it here, without a child.

    Raises:
        DataError: the file is missing, damaged, or asks for what no network needs: links, values
            in other files, shapes far beyond its size, cycles.
    """
    size = check_file(path)
    budget = DECLARED_AT_MOST if trusted else _budget(size)
    try:
        tree, values, uses = _read_here(path, budget) if trusted else _read_apart(path, size)
    except DataError:
        raise
    except Exception as error:  # of the library there is no list of what it may raise
        raise damaged(path, hdf5_scan.reason(error), what="NIR file") from error
    if not isinstance(tree.get("node"), dict):
        why = "it holds no group `node`, where a graph lies; recorded data are not read"
        raise damaged(path, why, what="NIR file")
    for value, count in zip(values, uses, strict=True):
        if count > 1 and isinstance(value, np.ndarray):
            value.flags.writeable = False
    version = tree.get("version")
    version = values[version] if isinstance(version, int) else None
    return Contents(_filled(tree["node"], values), version if isinstance(version, str) else None)


def _budget(size: int) -> int:
    return min(DECLARED_AT_MOST, max(DECLARED, DECLARED_BY_SIZE * size))


def _read_here(path: Path | str, budget: int) -> tuple[dict, list[Any], list[int]]:
    with hdf5_scan.open_hdf5(os.fspath(path)) as file:
        scan = Scan(file, budget)
        found = [_value(leaf, scan.values(i)) for i, leaf in enumerate(scan.leaves)]
        return scan.tree, found, _uses(scan.tree, len(found))


def _read_apart(path: Path | str, size: int) -> tuple[dict, list[Any], list[int]]:
    budget, seconds = _budget(size), SECONDS + size / BYTES_A_SECOND
    command = [sys.executable, "-P", hdf5_scan.__file__, os.path.abspath(path)]
    with subprocess.Popen(
        [*command, str(budget), str(seconds)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    ) as child:
        watch = threading.Timer(seconds + PATIENCE, child.kill)
        watch.start()
        try:
            assert child.stdout is not None
            return _receive(child.stdout)
        except EOFError as error:
            child.wait()
            raise Refused(_why(child.returncode, seconds)) from error
        finally:
            watch.cancel()
            with contextlib.suppress(OSError):
                child.kill()


def _why(code: int, seconds: float) -> str:
    """Say why a child ended without a last word."""
    if code in (-signal.SIGKILL, -getattr(signal, "SIGPROF", signal.SIGKILL)):
        return f"the HDF5 library was not done with it after {seconds:.1f} s"
    return "the HDF5 library failed on it"


def _receive(stream: IO[bytes]) -> tuple[dict, list[Any], list[int]]:
    """Return the tree, the values, and how often each is linked, from the frames of a child.

    Raises:
        Refused: the child says why.
        EOFError: it ended too soon.
    """
    body = json.loads(_exactly(stream, _head(stream, b"M")))
    leaves = [Leaf(leaf["dtype"], tuple(leaf["shape"])) for leaf in body["leaves"]]
    values = []
    for leaf in leaves:
        length = _head(stream, b"D")
        if leaf.strings:
            values.append(_value(leaf, json.loads(_exactly(stream, length))))
            continue
        array = np.empty(leaf.shape, leaf.dtype)
        if length != array.nbytes:
            raise EOFError
        if length:
            _fill(stream, array.reshape(-1).view(np.uint8).data)
        values.append(_value(leaf, array))
    _head(stream, b"E")
    return body["tree"], values, _uses(body["tree"], len(values))


def _head(stream: IO[bytes], letter: bytes) -> int:
    head = _exactly(stream, 9)
    length = int.from_bytes(head[1:], "little")
    if head[:1] == b"R":
        raise Refused(_exactly(stream, length).decode())
    if head[:1] != letter:
        raise EOFError
    return length


def _exactly(stream: IO[bytes], length: int) -> bytes:
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


def _value(leaf: Leaf, found: Any) -> Any:
    """Return a value as `nir.read` does: a scalar as a scalar, strings as `str`."""
    if leaf.strings:
        if leaf.shape == ():
            return found[0]
        texts = np.empty(len(found), object)
        texts[:] = found
        return texts.reshape(leaf.shape)
    return found[()] if leaf.shape == () else found


def _uses(tree: dict, count: int) -> list[int]:
    uses = [0] * count
    waiting: list[Any] = [tree]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            waiting.extend(found.values())
        else:
            uses[found] += 1
    return uses


def _filled(tree: dict, values: list[Any]) -> dict[str, Any]:
    return {
        name: _filled(found, values) if isinstance(found, dict) else values[found]
        for name, found in tree.items()
    }
