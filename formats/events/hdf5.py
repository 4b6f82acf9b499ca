"""Events in HDF5, in the layout of SHD and SSC (many recordings), of DSEC or MVSEC (one).

The HDF5 library reads them in a child process: hostile files can make it crash or loop.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InvalidFile
from .columns import check_whole_numbers, event_columns
from .isolated import on_disk, read_in_child
from .npz import check_labels
from .recording import Recording, Recordings

MAX_SECONDS = 2**53 / 1e6  # in microseconds, the whole numbers of a double


def decode(content: bytes) -> Recording | Recordings:
    """Return the events of an HDF5 file; see `read`."""
    return on_disk(content, ".h5", read)


def read(path: Path | str) -> Recording | Recordings:
    """Return the recordings of an SHD or SSC file, or the one recording of a DSEC or MVSEC file.

    SHD: x is the unit of the cochlea, y is 0, p is 1. Times are seconds there, in SHD itself as
    half floats, which are 0.5 ms apart between 0.5 and 1 s.
    DSEC: `t_offset` is added to the times, and `ms_to_idx` is not needed.
    MVSEC: the left camera; times are seconds, polarities -1 and 1.

    Raises:
        InvalidFile: the file is damaged, has none of these layouts, or its arrays contradict each
            other.
    """
    arrays, notes = read_in_child("HDF5", path)
    if notes["layout"] == "SHD":
        return _shd(arrays, notes)
    return _dsec(arrays) if notes["layout"] == "DSEC" else _mvsec(arrays["events"])


def _dsec(arrays: dict[str, np.ndarray]) -> Recording:
    t, x, y, p = event_columns(arrays)
    if "t_offset" in arrays:
        offset = arrays["t_offset"]
        if offset.dtype.kind not in "iu" or abs(int(offset)) > 1 << 62:
            raise InvalidFile(f"t_offset is {offset}, not a time in microseconds")
        if len(t) and abs(t).max() > 1 << 62:
            raise InvalidFile("the times events/t go beyond 2⁶² µs")
        t += int(offset)
    return Recording(t, x, y, p)


def _mvsec(events: np.ndarray) -> Recording:
    if events.ndim != 2 or events.shape[1] != 4:
        raise InvalidFile(f"davis/left/events is {list(events.shape)}, not rows of x, y, t, p")
    columns = {"t": _microseconds(events[:, 2], "davis/left/events")}
    for name, column in (("x", 0), ("y", 1), ("p", 3)):
        values = events[:, column]
        if not bool((np.abs(values) < 2**31).all()) or bool((values != np.rint(values)).any()):
            raise InvalidFile(f"davis/left/events has values of {name} that are not whole numbers")
        columns[name] = values.astype(np.int64)
    columns["p"] = np.where(columns["p"] == -1, 0, columns["p"])
    return Recording(*event_columns(columns))


def _shd(arrays: dict[str, np.ndarray], notes: dict[str, Any]) -> Recordings:
    offsets, units = arrays["times_offsets"], arrays["units"]
    if not np.array_equal(offsets, arrays["units_offsets"]):
        raise InvalidFile("a recording has another number of spikes/times than of spikes/units")
    zeros = np.zeros(len(units), np.uint8)
    t, x, y, p = event_columns(
        {"t": _microseconds(arrays["times"]), "x": units, "y": zeros, "p": zeros + 1}
    )
    labels = arrays.get("labels")
    if labels is not None:
        check_whole_numbers("labels", labels, len(offsets) - 1)
        labels = labels.astype(np.int64)
    class_names = tuple(notes["keys"]) if "keys" in notes else None
    check_labels(labels, class_names)
    return Recordings(t, x, y, p, offsets, None, labels, class_names)


def _microseconds(seconds: np.ndarray, name: str = "spikes/times") -> np.ndarray:
    """Return times in whole microseconds, int64."""
    wide = seconds.astype(np.float64)
    bad = ~(np.abs(wide) < MAX_SECONDS)  # also of NaN
    if bad.any():
        first = int(np.argmax(bad))
        kind = "spike" if name == "spikes/times" else "event"
        raise InvalidFile(f"{kind} {first} of {name} is at {seconds[first]} s")
    return np.rint(wide * 1e6).astype(np.int64)
