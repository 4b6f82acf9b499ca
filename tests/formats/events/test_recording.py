"""Recordings: their parts, and the arrays of an .npz that contradict each other."""

import io
import zipfile

import numpy as np
import pytest

from asnn.core import DataError
from asnn.formats.errors import InvalidFile
from asnn.formats.events import decode_recording, npz, read_recording, read_recordings
from tests.formats.events import encoders
from tests.formats.events.test_formulas import rows

EVENTS = [(5, 1, 2, 1), (6, 3, 4, 0), (1, 5, 6, 1), (2, 7, 8, 0), (3, 9, 10, 1)]


def test_a_file_of_many_is_a_sequence_of_recordings():
    many = npz.decode(
        encoders.npz(
            EVENTS, offsets=[0, 2, 2, 5], labels=[1, 0, 1], size=[11, 10], sample_id=[7, 8, 9],
            class_names=["zero", "one"],
        )
    )  # fmt: skip
    assert len(many) == 3
    assert [rows(each) for each in many] == [EVENTS[:2], [], EVENTS[2:]]
    assert rows(many[-1]) == EVENTS[2:]
    assert many[0].size == many.size == (11, 10)
    assert (many.labels.tolist(), many.sample_id.tolist()) == ([1, 0, 1], [7, 8, 9])
    assert many.class_names == ("zero", "one")
    with pytest.raises(IndexError, match="there are 3 recordings, none has the index 3"):
        many[3]


def test_one_recording_of_many_must_be_named(tmp_path):
    path = tmp_path / "many.npz"
    path.write_bytes(encoders.npz(EVENTS, offsets=[0, 2, 5]))
    with pytest.raises(DataError, match="many.npz holds 2 recordings, not one") as caught:
        read_recording(path)
    assert "read_recordings" in caught.value.remedy
    path.write_bytes(encoders.npz(EVENTS))
    assert rows(read_recording(path)) == EVENTS
    assert read_recordings(path).offsets.tolist() == [0, 5]


def test_a_file_of_one_is_read_as_many_of_one(tmp_path):
    path = tmp_path / "one.es"
    path.write_bytes(encoders.event_stream([(5, 1, 2, 1)]))
    many = read_recordings(path)
    assert (len(many), rows(many[0]), many.size) == (1, [(5, 1, 2, 1)], (240, 320))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"x": np.zeros(4, np.uint8)}, "x has 4 values, not 5"),
        ({"x": np.zeros((5, 1), np.uint8)}, r"x is uint8 \[5, 1\], not a column of whole numbers"),
        ({"t": np.zeros(5)}, r"t is float64 \[5\], not a column of whole numbers"),
        ({"t": np.full(5, 2**63, np.uint64)}, "times t go beyond"),
        ({"p": [0, 1, 2, 0, 0]}, "event 2 has p = 2, not 0 or 1"),
        ({"p": [0, -1, 1, 0, 0]}, "event 1 has p = -1, not 0 or 1"),
        ({"y": [0, 0, 0, -7, 0]}, "event 3 has y = -7, not between 0 and"),
        ({"y": np.full(5, 2**40)}, "event 0 has y = 1099511627776"),
        ({"size": [11, 9]}, "event 4 is at x 9, y 10, beyond the 9x11 pixels"),
        ({"size": [11]}, "size has 1 values, not 2"),
        ({"size": [11, 0]}, "its size is 11 by 0"),
        ({"offsets": [0, 3]}, "offsets do not go up from 0 to the number of events, 5"),
        ({"offsets": [0, 4, 3, 5]}, "offsets do not go up"),
        ({"offsets": np.zeros(0, int)}, "offsets do not go up"),
        ({"offsets": [0, 5], "labels": [1, 2]}, "labels has 2 values, not 1"),
        ({"labels": [0.5]}, "labels is float64"),
        ({"labels": [1], "class_names": ["only"]}, "has the label 1, and there are 1 names"),
        ({"class_names": [1, 2]}, "class_names is int64"),
    ],
)
def test_arrays_that_contradict_each_other_are_refused(changes, why):
    with pytest.raises(InvalidFile, match=why):
        npz.decode(encoders.npz(EVENTS, **{name: np.asarray(v) for name, v in changes.items()}))


def test_a_missing_array_and_an_object_array_are_refused():
    file = io.BytesIO()
    np.savez(file, t=[1], x=[1])
    with pytest.raises(InvalidFile, match="it has no array y and no p"):
        npz.decode(file.getvalue())
    with pytest.raises(DataError, match="Python objects"):
        decode_recording("a.npz", encoders.npz(EVENTS, labels=np.array([{}], object)))


def test_a_zip_that_unpacks_to_much_more_is_not_unpacked():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.npy", bytes(33 << 20))
    with pytest.raises(InvalidFile, match="bytes unpack to 34,603,008"):
        npz.decode(file.getvalue())
