"""The groups and datasets of an HDF5 file, read without following soft or external links.

A few wrong bytes can make the HDF5 library loop for ever, crash, or allocate any amount of memory.
This file is therefore also a script: `python hdf5_scan.py FILE ...` reads the file in a process of
its own, under limits of time and memory, and writes frames to stdout for `asnn.formats.hdf5`.
It imports nothing of asnn, so that the process starts quickly.

A frame is one letter, eight bytes of length, and a body:
    M  names and shapes, JSON
    D  the values of one dataset, in the order of M: raw, or JSON for strings
    R  why the file is refused
    E  the end
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import h5py
import numpy as np
from h5py import h5d, h5g, h5l, h5o, h5z  # pyright: ignore[reportAttributeAccessIssue]

ROOTS = ("node", "version")  # the parts of a NIR file that are read
MAX_DEPTH = 40
MAX_OBJECTS = 200_000
MAX_STRINGS = 1_000_000
MAX_NAME = 1024
BASE_MEMORY = 96 << 20  # for names and the library itself
FILTERS = (
    h5z.FILTER_DEFLATE,
    h5z.FILTER_SHUFFLE,
    h5z.FILTER_FLETCHER32,
    h5z.FILTER_SZIP,
    h5z.FILTER_NBIT,
    h5z.FILTER_SCALEOFFSET,
    h5z.FILTER_LZF,
)


class InvalidHdf5(ValueError):
    """As `InvalidFile` in errors.py, which a script without asnn cannot import."""


@dataclass(frozen=True)
class DatasetInfo:
    """Type (`str`, or the dtype of numbers) and shape of an HDF5 dataset."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def is_text(self) -> bool:
        return self.dtype == "str"

    @property
    def count(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def bytes(self) -> int:
        return self.count * (16 if self.is_text else np.dtype(self.dtype).itemsize)


class Scan:
    """A walk over `node` and `version` that follows hard links only.

    Attributes:
        tree: names; a group is a dict, a dataset its index in `datasets`.
        datasets: each dataset once, however many links lead to it.
    """

    def __init__(self, file: h5py.File, budget: int) -> None:
        self.datasets: list[DatasetInfo] = []
        self.budget = budget
        self._file = file
        self._paths: list[bytes] = []  # an open dataset would take 9 KB
        self._index_by_address: dict[int, int] = {}
        self._groups: set[int] = set()
        self._links = 0
        self._strings = 0
        root = h5g.open(file.id, b"/")
        present = [name for name in ROOTS if name.encode() in root]
        self.tree = {name: self._open(root, name.encode(), name, b"") for name in present}

    def _open(self, group: h5g.GroupID, name: bytes, shown: str, parent: bytes) -> Any:
        self._links += 1
        if self._links > MAX_OBJECTS:
            raise InvalidHdf5(f"it holds more than {MAX_OBJECTS:,} objects")
        kind = group.links.get_info(name).type
        if kind != h5l.TYPE_HARD:
            links = {h5l.TYPE_SOFT: "a soft link", h5l.TYPE_EXTERNAL: "a link to another file"}
            raise InvalidHdf5(f"{shown} is {links.get(kind, 'a link of an unknown kind')}")
        found, path = h5o.open(group, name), parent + b"/" + name
        address = h5o.get_info(found).addr
        if isinstance(found, h5d.DatasetID):
            return self._dataset(found, address, shown, path)
        if not isinstance(found, h5g.GroupID):
            raise InvalidHdf5(f"{shown} is neither a group nor a dataset")
        if address in self._groups:
            raise InvalidHdf5(f"the group {shown} is linked twice, or holds itself")
        self._groups.add(address)
        if shown.count("/") >= MAX_DEPTH:
            raise InvalidHdf5(f"groups are nested more than {MAX_DEPTH} deep")
        children = {}
        for child in list(found):
            if len(child) > MAX_NAME:
                raise InvalidHdf5(f"a name in {shown} has {len(child):,} characters")
            text = child.decode("utf-8", "backslashreplace")
            children[text] = self._open(found, child, f"{shown}/{text}", path)
        return children

    def _dataset(self, dataset: h5d.DatasetID, address: int, shown: str, path: bytes) -> int:
        if address in self._index_by_address:
            return self._index_by_address[address]
        info = _info(dataset, shown)
        self.budget -= info.bytes
        self._strings += info.count if info.is_text else 0
        if self.budget < 0:
            raise InvalidHdf5(
                f"{shown} has the shape {list(info.shape)}, too large for a file of this size"
            )
        if self._strings > MAX_STRINGS:
            raise InvalidHdf5(f"it holds more than {MAX_STRINGS:,} strings")
        self._index_by_address[address] = len(self.datasets)
        self.datasets.append(info)
        self._paths.append(path)
        return self._index_by_address[address]

    def values(self, index: int) -> Any:
        """Return the values of a dataset: an array, or a flat list of strings."""
        info = self.datasets[index]
        dataset = h5py.Dataset(h5d.open(self._file.id, self._paths[index]))
        if not info.is_text:
            values = np.empty(info.shape, info.dtype)
            if info.count:
                dataset.read_direct(values)
            return values
        texts = np.asarray(dataset[()], dtype=object).ravel().tolist() if info.count else []
        return [
            t.decode("utf-8", "backslashreplace") if isinstance(t, bytes) else str(t) for t in texts
        ]


def _info(dataset: h5d.DatasetID, shown: str) -> DatasetInfo:
    creation = dataset.get_create_plist()
    if creation.get_layout() == h5d.VIRTUAL or creation.get_external_count():
        raise InvalidHdf5(f"{shown} keeps its values in other files")
    filters = [creation.get_filter(i)[0] for i in range(creation.get_nfilters())]
    unknown = [number for number in filters if number not in FILTERS]
    if unknown:
        raise InvalidHdf5(
            f"{shown} is compressed by an unknown filter, {unknown[0]}: write the file with gzip"
        )
    shape = dataset.shape
    if dataset.get_space().get_simple_extent_type() == h5py.h5s.NULL or shape is None:
        raise InvalidHdf5(f"{shown} holds nothing")
    dtype = dataset.dtype
    if h5py.check_string_dtype(dtype) is not None:
        return DatasetInfo("str", shape)
    if dtype.kind not in "biufc" or dtype.subdtype is not None or dtype.itemsize > 32:
        raise InvalidHdf5(f"{shown} holds neither numbers nor strings, but {dtype}")
    return DatasetInfo(dtype.str, shape)


def open_hdf5(path: str) -> h5py.File:
    """Open a file for reading.

    Raises:
        InvalidHdf5: it is not an HDF5 file, or a damaged one.
    """
    try:
        return h5py.File(path, "r")
    except Exception as error:
        raise InvalidHdf5(reason(error)) from error


def reason(error: BaseException) -> str:
    """Return the library's message in one line."""
    if isinstance(error, RecursionError | MemoryError):
        return "it needs more memory than the limit"
    return " ".join(str(error).split()) or type(error).__name__


def serve(path: str, budget: int, seconds: float, out: BinaryIO) -> None:
    """Write the frames of a file to `out`, in a process that does nothing else.

    Args:
        path: the file.
        budget: bytes that its datasets may have together.
        seconds: of processor time.
        out: a pipe to `asnn.formats.hdf5`.
    """
    limit_time(seconds)
    limit_memory(BASE_MEMORY)
    try:
        with open_hdf5(path) as file:
            scan = Scan(file, budget)
            datasets = [asdict(info) for info in scan.datasets]
            limit_memory(BASE_MEMORY + 2 * max((info.bytes for info in scan.datasets), default=0))
            _write_frame(out, b"M", json.dumps({"tree": scan.tree, "datasets": datasets}).encode())
            for index, info in enumerate(scan.datasets):
                values = scan.values(index)
                body = json.dumps(values).encode() if info.is_text else values.reshape(-1).data
                _write_frame(out, b"D", body)
    except BrokenPipeError:
        return
    except Exception as error:  # the library documents no list of its exceptions
        _write_frame(out, b"R", reason(error).encode("utf-8", "backslashreplace"))
        return
    _write_frame(out, b"E", b"")


def _write_frame(out: BinaryIO, letter: bytes, body: bytes | memoryview) -> None:
    body = memoryview(body).cast("B") if len(body) else memoryview(b"")
    out.write(letter + len(body).to_bytes(8, "little"))
    out.write(body)
    out.flush()


def limit_time(seconds: float) -> None:
    """End this process after so much processor time, which a busy machine does not use up.

    On platforms without such a timer the parent's timeout remains.
    """
    with contextlib.suppress(AttributeError, OSError, ValueError):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def limit_memory(more: int) -> None:
    """Let this process allocate `more` bytes beyond what it has, where the platform can."""
    with contextlib.suppress(ImportError, AttributeError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (used + more, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.stdout.buffer)
