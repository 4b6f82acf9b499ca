"""What runs in the child process, called here: which files it refuses, and what it writes."""

import io
import json
import signal

import h5py
import numpy as np
import pytest

from asnn.formats.errors import InvalidFile
from asnn.formats.events import isolated
from asnn.formats.events.isolated import child, hdf5_layouts, parent
from tests.formats.events import encoders

EVENTS = [(5, 1, 2, 1), (6, 3, 4, 0)]
BUDGET = 1 << 20


@pytest.fixture(autouse=True)
def limits(monkeypatch):
    """Record the limits in place of setting them on the process of the tests."""
    found = {}
    for module in (child, hdf5_layouts):
        monkeypatch.setattr(module, "limit_memory", lambda more: found.update(memory=more))
    monkeypatch.setattr(child, "limit_time", lambda seconds: found.update(seconds=seconds))
    return found


def served(kind, path, budget=BUDGET):
    out = io.BytesIO()
    child.serve(kind, str(path), budget, 0.5, out)
    out.seek(0)
    return out


def test_arrays_arrive_as_they_were_sent(tmp_path, limits):
    path = encoders.dsec(tmp_path / "a.h5", EVENTS, t_offset=7)
    arrays, notes = parent._receive(served("HDF5", path), BUDGET)
    assert notes == {"layout": "DSEC"}
    assert arrays.pop("t_offset") == 7
    found = list(zip(*(arrays[name].tolist() for name in "txyp"), strict=True))
    assert found == EVENTS
    assert limits["seconds"] == 0.5 and limits["memory"] >= BUDGET


def test_aedat4(tmp_path):
    pytest.importorskip("aedat")
    path = tmp_path / "a.aedat4"
    path.write_bytes(encoders.aedat4(EVENTS, packet=1))
    arrays, notes = parent._receive(served("AEDAT 4", path), BUDGET)
    assert list(zip(*(arrays[name].tolist() for name in "txyp"), strict=True)) == EVENTS
    assert notes == {"size": [240, 320]}
    with pytest.raises(InvalidFile, match="its events are too many for a file of this size"):
        parent._receive(served("AEDAT 4", path, budget=10), BUDGET)
    path.write_bytes(encoders.aedat4([], streams=("EVTS", "EVTS")))
    with pytest.raises(InvalidFile, match="it has 2 streams of events; one is read"):
        parent._receive(served("AEDAT 4", path), BUDGET)
    path.write_bytes(encoders.aedat4([]))
    assert len(parent._receive(served("AEDAT 4", path), BUDGET)[0]["t"]) == 0


class Panic(BaseException):
    """As that of a library in Rust, which is no Exception."""


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (Panic("index out\nof bounds"), "index out of bounds"),
        (Panic(), "Panic"),
        (MemoryError(), "it needs more memory than the limit"),
    ],
)
def test_any_failure_becomes_a_reason(error, why, monkeypatch):
    def fail(path, budget):
        raise error

    monkeypatch.setattr(hdf5_layouts, "read", fail)
    assert json.loads(served("HDF5", "a.h5").read()) == {"refused": why}


def vlen(file, name, rows, dtype="f4"):
    dataset = file.create_dataset(name, (len(rows),), h5py.vlen_dtype(np.dtype(dtype)))
    for index, row in enumerate(rows):
        dataset[index] = np.array(row, dtype)


def spikes(file, times=((0.5,), (1.0, 2.0)), units=((1,), (2, 3))):
    vlen(file, "spikes/times", times)
    vlen(file, "spikes/units", units, "u2")


def test_rows_are_joined_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5_layouts, "ROWS", 2)
    times = [[float(i)] * (i % 3) for i in range(7)]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        spikes(file, times, times)
    arrays, _ = hdf5_layouts.read(str(tmp_path / "a.h5"), BUDGET)
    assert arrays["times"].tolist() == [value for row in times for value in row]
    assert arrays["times_offsets"].tolist() == [0, 0, 1, 3, 3, 4, 6, 6]


def write_spikes_with(change):
    def write(file):
        spikes(file)
        change(file)

    return write


def write_events_with(**options):
    def write(file):
        for name in "txyp":
            file.create_dataset(f"events/{name}", **{"data": [0, 1], **options})

    return write


def replace(name, values):
    def change(file):
        if name in file:
            del file[name]
        file[name] = values

    return change


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (lambda file: None, "but nothing"),
        (lambda file: file.create_group("data"), "`events` \\(DSEC\\) or `davis` \\(MVSEC\\), but data"),
        (lambda file: file.create_group("spikes"), "it has no spikes/times"),
        (lambda file: file.create_group("events"), "it has no events/t"),
        (write_spikes_with(replace("spikes/times", [0.5])), "is no array of arrays, but float64"),
        (write_spikes_with(replace("labels", [1] * 9)), "it has more labels than recordings"),
        (write_spikes_with(replace("labels", [[1]])), "labels has 2 dimensions, not 1"),
        (write_spikes_with(replace("extra/keys", [1])), "extra/keys is no list of names"),
        (write_spikes_with(replace("labels", h5py.SoftLink("/a"))), "is a link to elsewhere"),
        (write_spikes_with(replace("labels", h5py.Empty("f4"))), "labels is no dataset"),
        (write_events_with(data=[1 + 2j]), "holds no numbers, but complex128"),
        (write_events_with(shape=(1 << 40,), data=None, dtype="u1", chunks=(8,)), "are too many"),
        (write_events_with(shape=(8,), data=None, dtype="u1", external=[("/x", 0, 8)]), "in other"),
    ],
)  # fmt: skip
def test_hdf5_layouts_refuse(write, why, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write(file)
    with pytest.raises(ValueError, match=why):
        hdf5_layouts.read(str(tmp_path / "a.h5"), BUDGET)


def test_rows_that_share_their_values_are_counted_each_time(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        spikes(file, [[0.0] * 1000] * 300, [[1] * 1000] * 300)
        dataset = file["spikes/times"]
        with pytest.raises(ValueError, match="spikes/times is too large for a file of this size"):
            hdf5_layouts._ragged(dataset, 300 * 1000 * 4 - 1)
        with pytest.raises(ValueError, match="spikes/times has too many rows"):
            hdf5_layouts._ragged(dataset, 16 * 300 - 1)
        assert hdf5_layouts._ragged(dataset, 300 * 1000 * 4)[2] == 300 * 1000 * 4


def test_blosc_and_unknown_filters_are_named(monkeypatch, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_events_with(compression="gzip")(file)
        monkeypatch.setattr(hdf5_layouts, "FILTERS", ())
        with pytest.raises(ValueError, match="events/t is compressed by an unknown filter, 1"):
            hdf5_layouts._find(file, "events/t")
        monkeypatch.setattr(hdf5_layouts, "BLOSC", 1)
        monkeypatch.setattr(hdf5_layouts.h5z, "filter_avail", lambda number: False)
        with pytest.raises(ValueError, match="by Blosc, which HDF5 does not find: set HDF5_PLUGIN"):
            hdf5_layouts._find(file, "events/t")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"arrays": []',
        b"no json\n",
        b'{"arrays": [["t", "<i8", [2]]], "notes": {}}\n' + bytes(15),
    ],
)
def test_a_child_that_ends_early_is_noticed(content):
    with pytest.raises(EOFError):
        parent._receive(io.BytesIO(content), BUDGET)


def test_what_a_child_sends_is_bounded():
    head = json.dumps({"arrays": [["t", "<i8", [1 << 40]]], "notes": {}}).encode()
    with pytest.raises(InvalidFile, match="too large for a file of this size"):
        parent._receive(io.BytesIO(head + b"\n"), BUDGET)


def test_the_end_of_a_child_has_a_reason():
    slow, failed = "library did not finish within 0.5 s", "library failed on it"
    for code, why in [(-signal.SIGKILL, slow), (-signal.SIGPROF, slow), (-6, failed), (1, failed)]:
        assert parent._why_ended("HDF5", code, 0.5) == f"the HDF5 {why}"


def test_bytes_are_read_from_a_file_that_is_removed():
    seen = []
    assert isolated.on_disk(b"abc", ".h5", lambda path: seen.append(path) or path.read_bytes())
    assert seen[0].suffix == ".h5" and not seen[0].exists()
