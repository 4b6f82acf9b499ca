"""The arrays of an HDF5 file in one of three layouts; runs in the child process alone.

SHD and SSC: `spikes/times` and `spikes/units`, arrays of arrays; `labels`; `extra/keys`.
DSEC: `events/t`, `x`, `y`, `p`; `t_offset`.
MVSEC: `davis/left/events`, rows of x, y, t, p.
"""

from __future__ import annotations

import os
from typing import Any

import h5py
import numpy as np
from h5py import h5l, h5z  # pyright: ignore[reportAttributeAccessIssue]

from ...hdf5_scan import FILTERS
from .limits import BASE_MEMORY, limit_memory

BLOSC = 32001  # of DSEC; the HDF5 library loads it from HDF5_PLUGIN_PATH where it is installed
ROWS = 256  # of arrays of arrays, read at once
MAX_NAMES = 100_000


def read(path: str, budget: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays of the layout that the file has, and its name.

    Raises:
        ValueError: it has neither, or a dataset is no plain array in this file.
        Exception: of the HDF5 library, which documents no list of them.
    """
    with h5py.File(path, "r") as file:
        names = list(file)
        if "spikes" in names:
            return _spikes(file, os.path.getsize(path))
        if "events" in names:
            return _events(file, budget)
        if "davis" in names:
            return _mvsec(file, budget)
        shown = ", ".join(names[:20]) or "nothing"
        raise ValueError(
            f"it has no `spikes` (SHD), `events` (DSEC) or `davis` (MVSEC), but {shown}"
        )


def _events(file: h5py.File, budget: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    datasets = [_dataset(file, f"events/{name}") for name in "txyp"]
    if sum(len(each) * each.dtype.itemsize for each in datasets) > budget:
        raise ValueError("its events are too many for a file of this size")
    arrays = {
        name: _plain(each[()], each.name) for name, each in zip("txyp", datasets, strict=True)
    }
    offset = _find(file, "t_offset", 0)
    if offset is not None:
        arrays["t_offset"] = _plain(offset[()], "t_offset")
    return arrays, {"layout": "DSEC"}


def _mvsec(file: h5py.File, budget: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    dataset = _dataset(file, "davis/left/events", 2)
    if dataset.size * dataset.dtype.itemsize > budget:
        raise ValueError("its events are too many for a file of this size")
    return {"events": _plain(dataset[()], dataset.name)}, {"layout": "MVSEC"}


def _spikes(file: h5py.File, budget: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    # Arrays of arrays are not compressed. More than the file's own size are rows that share their
    # values, and the library reads some hundred rows before they can be counted.
    limit_memory(BASE_MEMORY + 4 * budget)
    arrays = {}
    for name in ("times", "units"):
        dataset = _dataset(file, f"spikes/{name}")
        arrays[name], arrays[f"{name}_offsets"], used = _ragged(dataset, budget)
        budget -= used
    notes: dict[str, Any] = {"layout": "SHD"}
    labels = _find(file, "labels")
    if labels is not None:
        if len(labels) > len(arrays["times_offsets"]):
            raise ValueError("it has more labels than recordings")
        arrays["labels"] = _plain(labels[()], "labels")
    keys = _find(file, "extra/keys")
    if keys is not None:
        if len(keys) > MAX_NAMES or h5py.check_string_dtype(keys.dtype) is None:
            raise ValueError("extra/keys is no list of names of classes")
        notes["keys"] = [_text(key) for key in np.asarray(keys[()])]
    return arrays, notes


def _ragged(dataset: h5py.Dataset, budget: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the arrays of a dataset one after another, their offsets, and their bytes."""
    inner = h5py.check_vlen_dtype(dataset.dtype)
    if inner is None:
        raise ValueError(f"{dataset.name} is no array of arrays, but {dataset.dtype}")
    if 16 * len(dataset) > budget:
        raise ValueError(f"{dataset.name} has too many rows for a file of this size")
    used = 0
    rows: list[np.ndarray] = []
    for start in range(0, len(dataset), ROWS):
        part = dataset[start : start + ROWS]
        rows.extend(part)
        used += sum(row.nbytes for row in part)
        if used > budget:
            raise ValueError(f"{dataset.name} is too large for a file of this size")
    lengths = [len(row) for row in rows]
    values = np.concatenate(rows) if rows else np.zeros(0, inner)
    return _plain(values, dataset.name), np.cumsum([0, *lengths], dtype=np.int64), used


def _dataset(file: h5py.File, path: str, dimensions: int = 1) -> h5py.Dataset:
    """Return a dataset whose values lie in this file."""
    found = _find(file, path, dimensions)
    if found is None:
        raise ValueError(f"it has no {path}")
    return found


def _find(file: h5py.File, path: str, dimensions: int = 1) -> h5py.Dataset | None:
    """Return a dataset whose values lie in this file, or None if there is none.

    Each link is asked for its type first: following it could open another file, or wait for a pipe.
    """
    found = file
    for name in path.split("/"):
        if not isinstance(found, h5py.Group) or not found.id.links.exists(name.encode()):
            return None
        if found.id.links.get_info(name.encode()).type != h5l.TYPE_HARD:
            raise ValueError(f"{path} is a link to elsewhere")
        found = found[name]
    if not isinstance(found, h5py.Dataset) or found.shape is None:
        raise ValueError(f"{path} is no dataset")
    if found.is_virtual or found.external:
        raise ValueError(f"{path} keeps its values in other files")
    if found.ndim != dimensions:
        raise ValueError(f"{path} has {found.ndim} dimensions, not {dimensions}")
    _check_filters(found, path)
    return found


def _check_filters(dataset: h5py.Dataset, path: str) -> None:
    creation = dataset.id.get_create_plist()
    for index in range(creation.get_nfilters()):
        number = creation.get_filter(index)[0]
        if number == BLOSC and not h5z.filter_avail(BLOSC):
            raise ValueError(
                f"{path} is compressed by Blosc, which HDF5 does not find: set HDF5_PLUGIN_PATH to "
                "its plugin, or write the file with gzip"
            )
        if number not in (*FILTERS, BLOSC):
            raise ValueError(
                f"{path} is compressed by an unknown filter, {number}: write the file with gzip"
            )


def _text(key: bytes | str) -> str:
    """Return a name of a class; files say ASCII and hold UTF-8."""
    return key.decode("utf-8", "backslashreplace") if isinstance(key, bytes) else str(key)


def _plain(values: Any, name: Any) -> np.ndarray:
    """Return whole numbers or floats, refuse everything else."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise ValueError(f"{name} holds no numbers, but {array.dtype}")
    return array
