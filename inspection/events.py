"""The contents of a recording of events, or of a file of many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import DataError
from ..formats.array_headers import ArrayInfo
from ..formats.errors import unreadable
from ..formats.events import Recordings, read_recordings
from ..formats.events.npz import COLUMNS
from ..formats.events.read import HEAD, choose_format
from ..formats.files import read_bytes
from ..formats.hdf5 import NoGraph


def inspect_events(path: Path) -> dict[str, Any]:
    """Return format, number of events, times, ranges, sensor and labels of a file of events.

    Times and durations are in µs. Those of several recordings count from each one's own
    beginning; `duration_us` is the sum of theirs, and `events_per_second` is events over that.

    Raises:
        DataError: as `read_recordings`.
    """
    head = read_bytes(path, HEAD)
    chosen = choose_format(path, head)
    found = read_recordings(path)
    durations, counts = _durations(found), np.diff(found.offsets)
    total, events = sum(durations.tolist()), len(found.t)
    return {
        "format": chosen.name,
        "events": events,
        "recordings": len(found),
        "events_per_recording": _range(counts),
        "first_us": int(found.t.min()) if events else None,
        "last_us": int(found.t.max()) if events else None,
        "duration_us": total,
        "durations_us": _range(durations),
        "events_per_second": events / (total / 1e6) if total else None,
        "x": _range(found.x),
        "y": _range(found.y),
        "sensor": None if found.size is None else list(found.size),
        "on_share": float(found.p.mean()) if events else None,
        "labels": _labels(found),
        "warnings": _warnings(found, chosen.matches is None, counts),
    }


def inspect_recorded_hdf5(path: Path, no_graph: NoGraph) -> dict[str, Any]:
    """Return the contents of an HDF5 file without a graph, if it holds events.

    Raises:
        DataError: it holds neither a NIR graph nor events, or its events are damaged.
    """
    try:
        return inspect_events(path)
    except DataError as error:
        raise unreadable(path, f"{no_graph.why}; as events: {error.why}", what="file") from error


def are_columns(arrays: Sequence[ArrayInfo]) -> bool:
    """Return whether arrays of an archive are the columns of events: whole numbers `[E]`."""
    columns = {array.name: array for array in arrays if array.name in COLUMNS}
    return len(columns) == len(COLUMNS) and all(
        array.dtype.kind in "iub" and len(array.shape) == 1 for array in columns.values()
    )


def _durations(found: Recordings) -> np.ndarray:
    """Return the time from the first to the last event of each recording, uint64 `[N]`.

    Times are any int64, so that their difference may be too large for one.
    """
    durations = np.zeros(len(found), np.uint64)
    filled = np.flatnonzero(np.diff(found.offsets))
    if len(filled):
        starts = found.offsets[filled]
        latest, earliest = (each.reduceat(found.t, starts) for each in (np.maximum, np.minimum))
        durations[filled] = latest.astype(np.uint64) - earliest.astype(np.uint64)
    return durations


def _range(values: np.ndarray) -> list[int] | None:
    return [int(values.min()), int(values.max())] if len(values) else None


def _labels(found: Recordings) -> dict[str, int] | None:
    """Return the number of recordings of each class, by name or number."""
    if found.labels is None:
        return None
    labels, counts = np.unique(found.labels, return_counts=True)
    names = found.class_names
    return {
        names[label] if names else str(label): count
        for label, count in zip(labels.tolist(), counts.tolist(), strict=True)
    }


def _warnings(found: Recordings, by_suffix: bool, counts: np.ndarray) -> list[str]:
    warnings = []
    if by_suffix:
        warnings.append("its suffix alone tells its format: files of this format have no header")
    back = np.flatnonzero(np.diff(found.t) < 0) + 1
    back = int((~np.isin(back, found.offsets)).sum())
    if back:
        warnings.append(f"its clock steps back {back:,} times: codes sort the events by time")
    empty = int((counts == 0).sum())
    if empty:
        warnings.append(f"{empty:,} of its recordings have no events")
    return warnings
