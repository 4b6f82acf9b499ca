"""Recordings in .npz files."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.core import ConfigError, DataError
from asnn.datasets import Batches, load_dataset
from asnn.datasets.sources.events.npz import load_events_npz
from asnn.datasets.sources.events.ragged import to_events
from asnn.formats.events import Recordings


def arrays(**changes):
    found = {
        "t": np.array([5, 9, 3, 3, 1, 20, 0, 4], np.uint32),
        "x": np.array([0, 1, 2, 0, 1, 2, 2, 0], np.uint8),
        "y": np.array([1, 1, 0, 0, 1, 1, 0, 0], np.uint8),
        "p": np.array([1, 0, 1, 0, 1, 0, 1, 0], np.uint8),
        "offsets": np.array([0, 2, 5, 5, 8]),
        "labels": np.array([0, 1, 0, 1]),
    }
    return {key: value for key, value in (found | changes).items() if value is not None}


def saved(path, **changes) -> str:
    np.savez(path, **arrays(**changes))
    return str(path)


def test_recordings_are_sorted_by_time_and_keep_their_order(tmp_path):
    source = load_events_npz(path=saved(tmp_path / "a.npz"))
    assert source.spec.document() == {"kind": "events", "shape": [2, 2, 3], "duration": 21}
    assert source.classes == ["0", "1"]
    batch = source.train.inputs.batch(torch.arange(4))
    assert batch.t.tolist() == [5, 9, 1, 3, 3, 0, 4, 20]
    assert batch.x.tolist() == [0, 1, 1, 2, 0, 2, 0, 2]
    assert batch.p.tolist() == [1, 0, 1, 1, 0, 1, 0, 0]
    assert batch.sample.tolist() == [0, 0, 1, 1, 1, 3, 3, 3]


@given(st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=2, max_size=5))
@settings(max_examples=60, deadline=None)
def test_each_recording_is_sorted_on_its_own(recordings):
    """Steps back within a recording, between two, or in neither place."""
    t = np.array([time for times in recordings for time in times], np.int64)
    offsets = np.cumsum([0, *map(len, recordings)])
    x = np.arange(len(t))
    found = Recordings(t, x, 0 * x, np.ones(len(t), np.uint8), offsets)
    events = to_events("a.npz", found, (1, 99), 10)
    for i, times in enumerate(recordings):
        batch = events.batch(torch.tensor([i]))
        expected = sorted(zip(times, range(offsets[i], offsets[i + 1]), strict=True))
        assert list(zip(batch.t.tolist(), batch.x.tolist(), strict=True)) == expected


def test_labels_from_one_are_read_and_told(tmp_path):
    path = saved(tmp_path / "a.npz", labels=np.array([1, 2, 1, 2]))
    test = saved(tmp_path / "b.npz", labels=np.array([2, 2, 2, 1]))
    source = load_events_npz(path=path, test_path=test)
    assert source.train.targets.tolist() == [0, 1, 0, 1] and source.classes == ["1", "2"]
    assert source.test.targets.tolist() == [1, 1, 1, 0]
    assert source.notes == ["labels 1 to 2 are read as classes 0 to 1"]


def test_off_events_where_there_is_no_polarity():
    one = np.zeros(2, np.int64)
    found = Recordings(one, one, one, np.array([1, 0], np.uint8), np.array([0, 1, 2]))
    assert to_events("a.h5", found, (1, 1), 10).shape == (2, 2, 1, 1)
    with pytest.raises(DataError, match="recording 1 of a.h5 has off events"):
        to_events("a.h5", found, (1, 1), 10, polarities=1)


def test_size_duration_and_names(tmp_path):
    path = saved(tmp_path / "a.npz", class_names=np.array(["cat", "dog"]))
    source = load_events_npz(path=path, size=[4, 6], duration=0.5)
    assert source.spec.shape == (2, 4, 6)
    assert source.spec.duration == 500
    assert source.classes == ["cat", "dog"]


def test_a_test_part_shares_sensor_and_duration(tmp_path):
    path = saved(tmp_path / "a.npz")
    later = arrays()["t"] * 10
    test = saved(tmp_path / "b.npz", t=later, x=arrays()["x"] + 4)
    source = load_events_npz(path=path, test_path=test)
    assert source.spec.shape == (2, 2, 7)
    assert source.spec.duration == 201
    assert len(source.test) == 4


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"labels": None}, "has no labels"),
        ({"labels": np.array([0, 0, 0, 0])}, "recordings of 1 classes"),
        ({"labels": np.array([0, 2, 0, 2])}, "number the classes without gaps"),
        ({"t": None}, "has no array t"),
        ({"offsets": np.array([0, 9])}, "offsets do not go up"),
        ({"t": arrays()["t"].astype(np.int64) - 2}, "before the beginning of the recording"),
    ],
)
def test_refused_files(tmp_path, changes, text):
    with pytest.raises(DataError) as refused:
        load_events_npz(path=saved(tmp_path / "a.npz", **changes))
    assert text in f"{refused.value}\n{refused.value.why}\n{refused.value.remedy}"


def test_events_outside_the_sensor_are_refused(tmp_path):
    with pytest.raises(DataError, match="outside a sensor of 2x2") as refused:
        load_events_npz(path=saved(tmp_path / "a.npz"), size=[2, 2])
    assert refused.value.what.startswith("recording 1 of ")
    assert refused.value.why == "1 of them, the first at x = 2, y = 0"


@pytest.mark.parametrize("options", [{"size": [0, 3]}, {"size": [3]}, {"duration": -1}])
def test_refused_options(options):
    with pytest.raises(ConfigError):
        load_events_npz(path="none.npz", **options)


@pytest.mark.slow
def test_n_mnist(needs):
    folder = needs("nmnist_small") / "nmnist_small"
    paths = {
        key: str(folder / f"nmnist_small_{part}.npz")
        for key, part in (("path", "train"), ("test_path", "test"))
    }
    data = load_dataset("events-npz", **paths)
    # The class counts and the last time are those of the data's description.
    counts = [97, 116, 99, 93, 105, 92, 94, 117, 87, 100]
    assert (data.train.targets.bincount() + data.validation.targets.bincount()).tolist() == counts
    assert data.test.targets.bincount().tolist() == [8, 14, 8, 11, 14, 7, 10, 15, 2, 11]
    assert data.spec.shape == (2, 34, 34) and data.spec.duration <= 336_041
    for x, _ in Batches(data.test, batch_size=32, full_scale=255.0):
        steps_back = (x.t.diff() < 0) & (x.sample.diff() == 0)
        assert not steps_back.any()
