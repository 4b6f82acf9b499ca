"""HDF5 features that lead to other files or to other types are refused by both readers of HDF5.

The target of each link is a pipe: a reader that opened it would never return.
"""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from asnn.formats.events.isolated import hdf5_layouts
from asnn.formats.hdf5_scan import Scan, open_hdf5
from tests.support.format_files import write_nir

BUDGET = 1 << 27


def write_events(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name in "txyp":
            file[f"events/{name}"] = np.zeros(8, "u4")


def scan(path: Path) -> None:
    with open_hdf5(str(path)) as file:
        found = Scan(file, BUDGET)
        for index in range(len(found.datasets)):
            found.values(index)


READERS = {
    "events": (write_events, lambda path: hdf5_layouts.read(str(path), BUDGET), "events/t"),
    "NIR": (write_nir, scan, "node/nodes/affine/bias"),
}


def virtual(source: str):
    def write(file, name):
        layout = h5py.VirtualLayout(shape=(8,), dtype="u4")
        layout[:] = h5py.VirtualSource(source, "x", shape=(8,))
        file.create_virtual_dataset(name, layout)

    return write


def external(file, name):
    file.create_dataset(name, (8,), "u4", external=[("pipe", 0, 32)])


def linked(link):
    def write(file, name):
        file[name] = link

    return write


def of_type(dtype):
    return lambda file, name: file.create_dataset(name, (8,), dtype)


def with_filter(file, name):
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk((8,))
    creation.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)  # Zstandard, which HDF5 does not have
    space = h5py.h5s.create_simple((8,))
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.NATIVE_UINT32, space, creation)


def unpacking_to_a_gibibyte(file, name):
    file.create_dataset(name, (1 << 30,), "u1", chunks=(1 << 16,), compression="gzip")


CASES = {
    "a virtual dataset": (virtual("pipe"), "keeps its values in other files"),
    "a virtual dataset of this file": (virtual("."), "keeps its values in other files"),
    "external storage": (external, "keeps its values in other files"),
    "an external link": (linked(h5py.ExternalLink("pipe", "/x")), "is a link to"),
    "a soft link to itself": (linked(h5py.SoftLink("/events/t")), "a link to elsewhere|soft link"),
    "references": (of_type(h5py.ref_dtype), "holds n"),
    "references of regions": (of_type(h5py.regionref_dtype), "holds n"),
    "rows of any length": (of_type(h5py.vlen_dtype("i4")), "holds n"),
    "compounds": (of_type([("a", "f4"), ("b", "i4")]), "holds n"),
    "opaque bytes": (of_type("V16"), "holds n"),
    "arrays as values": (of_type("(10000,10000)f4"), "holds n|too many"),
    "a named type": (lambda file, name: file.__setitem__(name, np.dtype("f4")), "no dataset|nor a"),
    "a missing filter": (with_filter, "an unknown filter, 32015: write the file with gzip"),
    "a bomb": (unpacking_to_a_gibibyte, "too large|too many"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("reader", READERS)
def test_what_leads_elsewhere_is_refused(tmp_path, monkeypatch, reader, case):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    write, read, name = READERS[reader]
    path = tmp_path / "file.h5"
    write(path)
    read(path)  # control: the file without the change
    change, why = CASES[case]
    with h5py.File(path, "r+") as file:
        del file[name]
        change(file, name)
    with pytest.raises(Exception, match=why):
        read(path)
    with pytest.raises(OSError, match="No such device"):  # nobody reads the pipe
        os.open("pipe", os.O_WRONLY | os.O_NONBLOCK)


@pytest.mark.parametrize("reader", READERS)
def test_what_does_not_matter_is_read(tmp_path, reader):
    write, read, name = READERS[reader]
    path = tmp_path / "file.h5"
    write(path)
    with h5py.File(path, "r+") as file:
        for index in range(200):
            file[name].attrs[f"attribute {index}"] = np.zeros(100)
        file["elsewhere"] = h5py.ExternalLink("/dev/zero", "/x")
        file["above"] = h5py.SoftLink("/above")
    path.write_bytes(bytes(512) + path.read_bytes())  # a user block
    read(path)
