"""What an HDF5 file from elsewhere holds, read without following a link.

The HDF5 library can be made to loop for ever, to crash, or to ask for any amount of memory by a
few wrong bytes. This file is therefore a script too: `python hdf5_scan.py FILE ...` does the
reading in a process of its own, under limits, and sends what it found to stdout in frames
(`asnn.formats.hdf5` is at the other end). It imports nothing of asnn.

A frame is one letter, eight bytes of length, and a body:
    M  the names and the shapes, JSON
    D  the values of one dataset, in the order of M: raw, or JSON where they are strings
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

ROOTS = ("node", "version")  # all that a NIR file is read for
DEEPEST = 40
MOST_OBJECTS = 200_000
MOST_STRINGS = 1_000_000
NAME_LENGTH = 1024
SPARE = 96 << 20  # memory for names and for what the library keeps
FILTERS = (
    h5z.FILTER_DEFLATE,
    h5z.FILTER_SHUFFLE,
    h5z.FILTER_FLETCHER32,
    h5z.FILTER_SZIP,
    h5z.FILTER_NBIT,
    h5z.FILTER_SCALEOFFSET,
    h5z.FILTER_LZF,
)


class Refused(ValueError):
    """The file asks for something that no honest file asks for."""


@dataclass(frozen=True)
class Leaf:
    """A dataset: its values are strings, or numbers of the type `dtype`."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def strings(self) -> bool:
        return self.dtype == "str"

    @property
    def count(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def bytes(self) -> int:
        return self.count * (16 if self.strings else np.dtype(self.dtype).itemsize)


class Scan:
    """A walk over `node` and `version` that opens no link but hard ones.

    Attributes:
        tree: names; a group is a dict, a dataset the place of its leaf in `leaves`.
        leaves: each dataset once, however often it is linked.
    """

    def __init__(self, file: h5py.File, budget: int) -> None:
        self.leaves: list[Leaf] = []
        self.budget = budget
        self._file = file
        self._paths: list[bytes] = []  # datasets that stay open would take 9 KB each
        self._places: dict[int, int] = {}
        self._groups: set[int] = set()
        self._links = 0
        self._strings = 0
        root = h5g.open(file.id, b"/")
        present = [name for name in ROOTS if name.encode() in root]
        self.tree = {name: self._open(root, name.encode(), name, b"") for name in present}

    def _open(self, group: h5g.GroupID, name: bytes, path: str, above: bytes) -> Any:
        self._links += 1
        if self._links > MOST_OBJECTS:
            raise Refused(f"it holds more than {MOST_OBJECTS:,} objects")
        kind = group.links.get_info(name).type
        if kind != h5l.TYPE_HARD:
            known = {h5l.TYPE_SOFT: "a soft link", h5l.TYPE_EXTERNAL: "a link to another file"}
            raise Refused(f"{path} is {known.get(kind, 'a link of an unknown kind')}")
        found, place = h5o.open(group, name), above + b"/" + name
        address = h5o.get_info(found).addr
        if isinstance(found, h5d.DatasetID):
            return self._dataset(found, address, path, place)
        if not isinstance(found, h5g.GroupID):
            raise Refused(f"{path} is neither a group nor a dataset")
        if address in self._groups:
            raise Refused(f"the group {path} is linked twice, or holds itself")
        self._groups.add(address)
        if path.count("/") >= DEEPEST:
            raise Refused(f"groups are nested more than {DEEPEST} deep")
        children = {}
        for child in list(found):
            if len(child) > NAME_LENGTH:
                raise Refused(f"a name in {path} has {len(child):,} characters")
            text = child.decode("utf-8", "backslashreplace")
            children[text] = self._open(found, child, f"{path}/{text}", place)
        return children

    def _dataset(self, dataset: h5d.DatasetID, address: int, path: str, place: bytes) -> int:
        if address in self._places:
            return self._places[address]
        leaf = _leaf(dataset, path)
        self.budget -= leaf.bytes
        self._strings += leaf.count if leaf.strings else 0
        if self.budget < 0:
            raise Refused(f"{path} has the shape {list(leaf.shape)}, more than such a file holds")
        if self._strings > MOST_STRINGS:
            raise Refused(f"it holds more than {MOST_STRINGS:,} strings")
        self._places[address] = len(self.leaves)
        self.leaves.append(leaf)
        self._paths.append(place)
        return self._places[address]

    def values(self, place: int) -> Any:
        """Return the values of a leaf: an array, or a flat list of strings."""
        leaf = self.leaves[place]
        dataset = h5py.Dataset(h5d.open(self._file.id, self._paths[place]))
        if not leaf.strings:
            values = np.empty(leaf.shape, leaf.dtype)
            if leaf.count:
                dataset.read_direct(values)
            return values
        texts = np.asarray(dataset[()], dtype=object).ravel().tolist() if leaf.count else []
        return [
            t.decode("utf-8", "backslashreplace") if isinstance(t, bytes) else str(t) for t in texts
        ]


def _leaf(dataset: h5d.DatasetID, path: str) -> Leaf:
    plan = dataset.get_create_plist()
    if plan.get_layout() == h5d.VIRTUAL or plan.get_external_count():
        raise Refused(f"{path} keeps its values in other files")
    filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    unknown = [number for number in filters if number not in FILTERS]
    if unknown:
        raise Refused(f"{path} is compressed by an unknown filter, {unknown[0]}")
    shape = dataset.shape
    if dataset.get_space().get_simple_extent_type() == h5py.h5s.NULL or shape is None:
        raise Refused(f"{path} holds nothing")
    dtype = dataset.dtype
    if h5py.check_string_dtype(dtype) is not None:
        return Leaf("str", shape)
    if dtype.kind not in "biufc" or dtype.subdtype is not None or dtype.itemsize > 32:
        raise Refused(f"{path} holds neither numbers nor strings, but {dtype}")
    return Leaf(dtype.str, shape)


def open_hdf5(path: str) -> h5py.File:
    """Open a file for reading.

    Raises:
        Refused: it is not an HDF5 file, or a damaged one.
    """
    try:
        return h5py.File(path, "r")
    except Exception as error:
        raise Refused(reason(error)) from error


def reason(error: BaseException) -> str:
    """Return what the library says, in one line."""
    if isinstance(error, RecursionError | MemoryError):
        return "it asks for more memory than such a file needs"
    return " ".join(str(error).split()) or type(error).__name__


def send(path: str, budget: int, out: BinaryIO) -> None:
    """Write the frames of a file to `out`."""
    try:
        with open_hdf5(path) as file:
            scan = Scan(file, budget)
            leaves = [asdict(leaf) for leaf in scan.leaves]
            limit_memory(SPARE + 2 * max((leaf.bytes for leaf in scan.leaves), default=0))
            _frame(out, b"M", json.dumps({"tree": scan.tree, "leaves": leaves}).encode())
            for place, leaf in enumerate(scan.leaves):
                values = scan.values(place)
                body = json.dumps(values).encode() if leaf.strings else values.reshape(-1).data
                _frame(out, b"D", body)
    except BrokenPipeError:
        return
    except Exception as error:  # of the library there is no list of what it may raise
        _frame(out, b"R", reason(error).encode("utf-8", "backslashreplace"))
        return
    _frame(out, b"E", b"")


def _frame(out: BinaryIO, letter: bytes, body: bytes | memoryview) -> None:
    body = memoryview(body).cast("B") if len(body) else memoryview(b"")
    out.write(letter + len(body).to_bytes(8, "little"))
    out.write(body)
    out.flush()


def limit_time(seconds: float) -> None:
    """End this process after that much processor time.

    The time is the processor's, not the clock's: a machine that is busy changes nothing. Where the
    platform has no such limit, the parent's clock is what remains.
    """
    with contextlib.suppress(AttributeError, OSError, ValueError):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def limit_memory(more: int) -> None:
    """Refuse this process more memory than that beyond what it has, where the platform can."""
    with contextlib.suppress(ImportError, AttributeError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (used + more, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    file_name, most_bytes, most_seconds = sys.argv[1:]
    limit_time(float(most_seconds))
    limit_memory(SPARE)
    send(file_name, int(most_bytes), sys.stdout.buffer)
