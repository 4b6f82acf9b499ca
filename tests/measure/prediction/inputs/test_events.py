"""Recordings as their data sets read them."""

from pathlib import Path

import numpy as np
import pytest

from asnn.coding.samples import EventBatch, SampleSpec
from asnn.core import ConfigError
from asnn.measure.prediction.inputs.given import samples_given
from asnn.measure.prediction.inputs.reader import reader_of

SPEC = SampleSpec("events", (2, 6, 8), duration=1000)
LABELS = ["a", "b"]


def save(path: Path, t, x, y, p, offsets=None, **more):
    arrays = {"t": t, "x": x, "y": y, "p": p, **more}
    if offsets is not None:
        arrays["offsets"] = offsets
    np.savez(path, **{key: np.asarray(value) for key, value in arrays.items()})


def read(path, spec=SPEC, **options):
    return list(samples_given(reader_of(spec, LABELS, **options), path))


def test_one_recording_begins_with_its_first_event_and_is_sorted(tmp_path):
    save(tmp_path / "r.npz", [5007, 5000, 5300], [1, 2, 3], [0, 1, 2], [1, 0, 1])
    (found,) = read(tmp_path / "r.npz")
    assert found.value.t.tolist() == [0, 7, 300] and found.value.x.tolist() == [2, 1, 3]
    assert found.changes == () and found.source == str(tmp_path / "r.npz")
    batch = EventBatch.of([found.value], SPEC.shape, SPEC.duration)
    assert batch.p.tolist() == [0, 1, 1]
    (kept,) = read(tmp_path / "r.npz", data="events-folder", options={"start": "zero"})
    assert kept.value.t.tolist() == [5000, 5007, 5300]
    (change,) = kept.changes
    assert change == "longer than the 1 ms of the training (--windows answers to each part)"


def test_each_window_of_a_long_recording_has_its_events(tmp_path):
    t = [100, 1099, 1100, 1101, 4100, 5099]  # since the first event: 0, 999, 1000, 1001, 4000, 4999
    save(tmp_path / "r.npz", t, [0, 1, 2, 3, 4, 5], [0] * 6, [1] * 6)
    found = read(tmp_path / "r.npz", windows=True)
    name = tmp_path / "r.npz"
    assert [each.source for each in found] == [f"{name}@0ms", f"{name}@1ms", f"{name}@4ms"]
    assert [each.value.t.tolist() for each in found] == [[0, 999], [0, 1], [0, 999]]
    assert [each.value.x.tolist() for each in found] == [[0, 1], [2, 3], [4, 5]]
    (whole,) = read(tmp_path / "r.npz")
    assert len(whole.value.t) == 6 and whole.changes


def test_windows_are_those_of_recordings():
    with pytest.raises(ConfigError, match="--windows is for recordings of events") as caught:
        reader_of(SampleSpec("image", (1, 4, 4)), LABELS, windows=True)
    assert caught.value.why == "the network takes images"


def test_a_file_of_many_gives_each_with_its_class(tmp_path):
    save(
        tmp_path / "r.npz",
        [3, 9, 2, 5000, 1],
        [0, 1, 2, 3, 9],
        [0, 0, 0, 0, 0],
        [1, 0, 1, 0, 1],
        offsets=[0, 2, 4, 5],
        labels=[1, 0, 7],
    )
    first, second, third = read(tmp_path / "r.npz")
    assert (first.source, first.expected) == (f"{tmp_path / 'r.npz'}[0]", "b")
    assert first.value.t.tolist() == [3, 9]  # as in the file
    assert second.expected == "a" and second.changes
    assert "has events outside a sensor of 6x8" in third.error.what
    assert third.error.remedy == "the network takes recordings of a 6x8 sensor"


def test_polarity_and_arrays_are_refused(tmp_path):
    save(tmp_path / "r.npz", [1, 2], [0, 1], [0, 0], [1, 0])
    (found,) = read(tmp_path / "r.npz", SampleSpec("events", (1, 6, 8), duration=1000))
    assert "has off events" in found.error.what and "on events alone" in found.error.remedy
    (found,) = read(np.zeros((2, 6, 8)))
    assert found.error.what == "array is an array, the network takes recordings of events"
    (tmp_path / "x.png").write_bytes(b"\x89PNG....")
    (found,) = read(tmp_path / "x.png")
    assert "is in no format of events that is read" in found.error.what


@pytest.mark.parametrize("start", ["first", "zero"])
def test_events_are_those_of_a_data_set_in_class_folders(tmp_path, start):
    from asnn.datasets.sources.events.folder import load_events_folder

    rng = np.random.default_rng(0)
    for label in LABELS:
        (tmp_path / label).mkdir()
        for number in range(2):
            t = 100 + np.sort(rng.integers(0, 800, 20))
            x, y, p = rng.integers(0, 8, 20), rng.integers(0, 6, 20), rng.integers(0, 2, 20)
            save(tmp_path / label / f"{number}.npz", t, x, y, p)
    data = load_events_folder(path=str(tmp_path), size=[6, 8], duration=1.0, start=start)
    found = read(tmp_path, data="events-folder", options={"start": start})
    for index, each in enumerate(found):
        start_, count = data.train.inputs.start[index], data.train.inputs.count[index]
        for name in "txyp":
            expected = getattr(data.train.inputs, name)[start_ : start_ + count]
            assert np.array_equal(getattr(each.value, name), expected)
    assert [each.expected for each in found] == ["a", "a", "b", "b"]
