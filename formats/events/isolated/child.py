"""The process that gives a file to the HDF5 library or to aedat, under limits.

A few wrong bytes can make these libraries loop, crash or allocate any amount of memory. `python -m
asnn.formats.events.isolated.child KIND PATH BUDGET SECONDS` writes one line of JSON, which says why
the file is refused, or names the arrays with their types and shapes; then the bytes of the arrays.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, BinaryIO

import numpy as np

from .limits import BASE_MEMORY, limit_memory, limit_time

READERS = {"AEDAT 4": ".aedat4_library", "HDF5": ".hdf5_layouts"}

Found = tuple[dict[str, np.ndarray], dict[str, Any]]
Reader = Callable[[str, int], Found]


def serve(kind: str, path: str, budget: int, seconds: float, out: BinaryIO) -> None:
    """Write the arrays of a file.

    Args:
        kind: a key of `READERS`.
        path: the file.
        budget: bytes that its arrays may have together.
        seconds: of processor time.
        out: a pipe to `asnn.formats.events.isolated.parent`.
    """
    read: Reader = import_module(READERS[kind], __package__).read  # before memory is limited
    limit_time(seconds)
    limit_memory(BASE_MEMORY + 2 * budget)
    try:
        arrays, notes = read(path, budget)
    except BaseException as error:  # a panic of Rust is no Exception
        if isinstance(error, MemoryError | RecursionError):
            reason = "it needs more memory than the limit"
        else:
            reason = " ".join(str(error).split())[:1000] or type(error).__name__
        out.write(json.dumps({"refused": reason}).encode() + b"\n")
        return
    shapes = [[name, each.dtype.str, list(each.shape)] for name, each in arrays.items()]
    out.write(json.dumps({"arrays": shapes, "notes": notes}).encode() + b"\n")
    for each in arrays.values():
        if each.size:
            out.write(np.ascontiguousarray(each).reshape(-1).view(np.uint8).data)
    out.flush()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.stdout.buffer)
