"""AEDAT 4 (DV, dv-processing): compressed packets of events, frames and other streams.

The library aedat (MIT) reads them, in a child process: damage can make it panic. It comes with the
extra `events`.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ...core.errors import DataError
from ..errors import InvalidFile
from .columns import event_columns
from .isolated import on_disk, read_in_child
from .recording import Recording


def decode(content: bytes) -> Recording:
    """Return the events of an AEDAT 4 file; see `read`."""
    return on_disk(content, ".aedat4", read)


def read(path: Path | str) -> Recording:
    """Return the events of an AEDAT 4 file on disk; frames and other streams are left out.

    Raises:
        DataError: the library aedat is not installed.
        InvalidFile: the file is damaged, or it has no stream of events or several.
    """
    if find_spec("aedat") is None:
        raise DataError(
            "AEDAT 4 files cannot be read",
            why="the package aedat is not installed",
            remedy="pip install 'asnn[events]'",
        )
    arrays, notes = read_in_child("AEDAT 4", path)
    height, width = notes["size"]
    if height < 1 or width < 1:
        raise InvalidFile(f"it states {width}x{height} pixels")
    columns = event_columns(arrays, (height, width))
    return Recording(*columns, (height, width))
