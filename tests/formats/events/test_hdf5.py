"""SHD, DSEC and MVSEC in HDF5: what the arrays mean, and arrays that contradict each other."""

import h5py
import numpy as np
import pytest

from asnn.core import DataError
from asnn.formats.errors import InvalidFile
from asnn.formats.events import decode_recording, hdf5, read_recording, read_recordings
from tests.formats.events import encoders
from tests.formats.events.test_formulas import rows

EVENTS = [(5, 1, 2, 1), (6, 3, 4, 0)]


@pytest.mark.slow
def test_dsec_times_begin_at_the_offset(tmp_path):
    path = encoders.dsec(tmp_path / "a.h5", EVENTS, t_offset=10**12)
    expected = [(t + 10**12, x, y, p) for t, x, y, p in EVENTS]
    assert rows(read_recording(path)) == expected
    assert rows(decode_recording("events.h5", path.read_bytes())) == expected


@pytest.mark.slow
def test_mvsec_has_rows_in_seconds_with_signed_polarities(tmp_path):
    begin = 1_506_118_124  # Unix time
    found = np.array([(x, y, begin + t / 1e6, 2 * p - 1) for t, x, y, p in EVENTS])
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("davis/left/events", data=found, compression="gzip")
    expected = [(begin * 10**6 + t, x, y, p) for t, x, y, p in EVENTS]
    assert rows(read_recording(tmp_path / "a.hdf5")) == expected


@pytest.mark.parametrize(
    ("events", "why"),
    [
        (np.zeros((3, 3)), r"davis/left/events is \[3, 3\], not rows of x, y, t, p"),
        (np.array([[0.5, 0, 0, 1]]), "values of x that are not whole numbers"),
        (np.array([[0, np.nan, 0, 1]]), "values of y that are not whole numbers"),
        (np.array([[0, 0, np.inf, 1]]), "event 0 of davis/left/events is at inf s"),
        (np.array([[0, 0, 0.0, 3]]), "event 0 has p = 3, not 0 or 1"),
    ],
)
def test_other_rows_of_mvsec_are_refused(events, why, monkeypatch):
    given = {"events": events}, {"layout": "MVSEC"}
    monkeypatch.setattr(hdf5, "read_in_child", lambda *_: given)
    with pytest.raises(InvalidFile, match=why):
        hdf5.read("a.hdf5")


@pytest.mark.slow
def test_shd_has_recordings_labels_and_names(tmp_path):
    spikes = [[(0.5, 3), (0.25, 699)], [], [(1.0, 0)]]
    keys = [b"zero", "fünf".encode()]
    path = encoders.shd(tmp_path / "a.h5", spikes, [1, 0, 1], keys, dtype="f2")
    found = read_recordings(path)
    assert [rows(each) for each in found] == [
        [(500_000, 3, 0, 1), (250_000, 699, 0, 1)],
        [],
        [(1_000_000, 0, 0, 1)],
    ]
    assert (found.labels.tolist(), found.class_names) == ([1, 0, 1], ("zero", "fünf"))
    with pytest.raises(DataError, match="a.h5 holds 3 recordings, not one"):
        read_recording(path)


SHD = {
    "times": np.array([0.5, 0.25]),
    "times_offsets": np.array([0, 2]),
    "units": np.array([1, 2], np.uint16),
    "units_offsets": np.array([0, 2]),
}
DSEC = {name: np.array([0, 1], np.uint8) for name in "txyp"}


@pytest.mark.parametrize(
    ("layout", "changes", "why"),
    [
        ("SHD", {"units_offsets": np.array([0, 1])}, "another number of spikes/times than of"),
        ("SHD", {"times": np.array([0, np.nan])}, "spike 1 of spikes/times is at nan s"),
        ("SHD", {"times": np.array([np.inf, 0])}, "spike 0 of spikes/times is at inf s"),
        ("SHD", {"units": np.array([0.5, 1])}, "x is float64"),
        ("SHD", {"labels": np.array([0, 1])}, "labels has 2 values, not 1"),
        ("SHD", {"labels": np.array([3])}, "label 3, and there are 1 names of classes"),
        ("DSEC", {"x": np.array([1], np.uint8)}, "x has 1 values, not 2"),
        ("DSEC", {"t_offset": np.array(0.5)}, "t_offset is 0.5, not a time in microseconds"),
        ("DSEC", {"t_offset": np.array(2**63, np.uint64)}, "not a time in microseconds"),
        (
            "DSEC",
            {"t": np.array([0, 2**62 + 1]), "t_offset": np.array(1)},
            "events/t go beyond 2⁶² µs",
        ),
    ],
)
def test_arrays_that_contradict_each_other_are_refused(layout, changes, why, monkeypatch):
    arrays = {**(SHD if layout == "SHD" else DSEC), **changes}
    notes = {"layout": layout, "keys": ["only"]}
    monkeypatch.setattr(hdf5, "read_in_child", lambda kind, path: (arrays, notes))
    with pytest.raises(InvalidFile, match=why):
        hdf5.read("a.h5")
