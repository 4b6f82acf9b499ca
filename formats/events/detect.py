"""Whether a file holds events, told by its first bytes and its suffix."""

from __future__ import annotations

import io
import zipfile
from pathlib import PurePath

from ..errors import InvalidFile
from .npz import COLUMNS
from .read import FORMATS

SHARED = ("HDF5", "NPZ")
"""Formats of many things: their arrays tell whether they are events."""

SUFFIXES = frozenset(
    suffix for each in FORMATS if each.name not in SHARED for suffix in each.suffixes
)


def has_event_header(head: bytes) -> bool:
    """Return whether the first bytes of a file are of a format that holds nothing but events."""
    own = [each for each in FORMATS if each.matches and each.name not in SHARED]
    try:
        return any(each.matches(head) for each in own if each.matches)
    except InvalidFile:  # of a damaged header, which no other format has
        return True


def are_events(name: str, content: bytes) -> bool:
    """Return whether the bytes of a file are to be read as events, and not as images.

    HDF5 files count, and archives with the arrays t, x, y and p.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix in SUFFIXES or suffix in (".h5", ".hdf5") or has_event_header(content):
        return True
    if not content.startswith(b"PK"):
        return content.startswith(b"\x89HDF\r\n\x1a\n")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {f"{column}.npy" for column in COLUMNS} <= set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return False
