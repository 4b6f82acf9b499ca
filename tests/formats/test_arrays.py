"""NumPy archives whose members lie, occur twice or overlap; pipes and devices with their names."""

import io
import os
import struct
import zipfile

import numpy as np
import pytest

from asnn.coding import load_spikes
from asnn.core import DataError
from asnn.datasets.load import load_dataset
from asnn.formats.arrays import map_npy, read_npz
from asnn.formats.errors import InvalidFile
from asnn.formats.events.npz import read as read_recordings
from tests.support.hostile_files import archive, header, npy_file

PIXELS = npy_file(np.zeros((8, 4, 4), np.uint8))


def twice(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        made.writestr(name, PIXELS)
        with pytest.warns(UserWarning, match="Duplicate name"):
            made.writestr(name, PIXELS)
    return stream.getvalue()


def overlapping(count: int) -> bytes:
    """Return an archive whose list of members names one member of 1 MiB `count` times."""
    made = archive({"x.npy": npy_file(np.zeros(1 << 20, np.uint8))})
    start, end = made.index(b"PK\x01\x02"), made.index(b"PK\x05\x06")
    listed = made[start:end] * count
    record = bytearray(made[end:])
    record[8:16] = struct.pack("<HHI", count, count, len(listed))
    return made[:start] + listed + bytes(record)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (twice("x_train.npy"), "two arrays of the name x_train"),
        (overlapping(2), "two arrays of the name x"),
        (overlapping(5000), "unpack to"),
        (archive({"x.npy": header("(True, 4, 4)") + bytes(16)}), r"has the shape \(True, 4, 4\)"),
        (archive({"x.npy": header("(8, 4, 4)") + bytes(8)}), "has 8 bytes, not 128"),
        (archive({"x.npy": header("(4, 4)") + bytes(17)}), "has 17 bytes, not 16"),
        (archive({"x.npy": header("(2**70,)")}), "header of an array cannot be read"),
    ],
    ids=["twice", "overlapping", "bomb", "bool-shape", "short", "long", "huge-shape"],
)
def test_members_that_lie_are_refused(content, why):
    with pytest.raises(InvalidFile, match=why):
        read_npz(io.BytesIO(content))


def test_an_archive_inside_an_archive_is_not_opened():
    inner = archive({"y.npy": PIXELS})
    found = read_npz(io.BytesIO(archive({"x.npy": PIXELS, "y.npz": inner, "z.zip": inner})))
    assert list(found) == ["x"]


@pytest.mark.parametrize("target", ["pipe", "/dev/zero"])
def test_what_is_not_a_regular_file_is_not_opened(tmp_path, target):
    path = tmp_path / "a.npz"
    if target == "pipe":
        os.mkfifo(path)  # to open it would block
    else:
        path.symlink_to(target)
    with pytest.raises(ValueError, match="it is not a regular file"):
        read_npz(path)
    with pytest.raises(InvalidFile, match="it is not a regular file"):
        read_recordings(path)
    with pytest.raises(DataError, match="it is not a regular file"):
        load_spikes(path)
    with pytest.raises(DataError, match="could not be read: it is not a regular file"):
        load_dataset("npz", path=str(path))
    with pytest.raises(DataError, match="neither a folder nor a zip"):
        load_dataset("folder", path=str(path))


@pytest.mark.parametrize(
    ("classes", "why"),
    [
        (np.array([b"\xff\xfe", b"b"]), "names of classes that are not UTF-8"),
        (np.array([1.5, np.nan]), "names of classes that are not text: .* float64"),
        (np.array(["x" * 1025, "b"]), "a name of 1,025 characters"),
    ],
)
def test_names_of_classes(tmp_path, classes, why):
    y = np.arange(8) % 2
    x = np.zeros((8, 4, 4), np.uint8)
    np.savez(tmp_path / "bad.npz", x_train=x, y_train=y, classes=classes)
    with pytest.raises(DataError, match=why):
        load_dataset("npz", path=str(tmp_path / "bad.npz"))
    np.savez(tmp_path / "good.npz", x_train=x, y_train=y, classes=np.array(["x" * 1024, "b"]))
    assert load_dataset("npz", path=str(tmp_path / "good.npz")).classes == ["x" * 1024, "b"]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(5, 3), (4,), (), (0, 2)])
def test_an_array_on_disk_is_read_when_it_is_used(tmp_path, order, shape):
    values = np.asarray(np.random.default_rng(0).random(shape), order=order)
    np.save(tmp_path / "x.npy", values)
    found = map_npy(tmp_path / "x.npy")
    assert np.array_equal(found, values) and found.dtype == values.dtype
    assert isinstance(found, np.memmap) == bool(values.size)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda content: content[:-1], "has 39 bytes, not 40"),
        (lambda content: content + b"x", "has 41 bytes, not 40"),
        (lambda content: content.replace(b"(5,)", b"(5(,"), "header of an array cannot be read"),
        (lambda content: content.replace(b"<f8", b"|O"), "cannot be read|Python objects"),
        (lambda content: b"", "header of an array cannot be read"),
    ],
)
def test_an_array_on_disk_is_as_its_header_states(tmp_path, change, says):
    np.save(tmp_path / "x.npy", np.zeros(5))
    (tmp_path / "x.npy").write_bytes(change((tmp_path / "x.npy").read_bytes()))
    with pytest.raises(InvalidFile, match=says):
        map_npy(tmp_path / "x.npy")
