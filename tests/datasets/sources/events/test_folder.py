"""Recordings in class folders: formats, sensors, times, in memory and lazy."""

import pickle
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.core import ConfigError, DataError
from asnn.datasets import Batches, load_dataset
from asnn.datasets.events import Events
from asnn.datasets.sources.class_folders import read_layout
from asnn.datasets.sources.events import decode
from asnn.datasets.sources.events.decode import LazyRecordings
from asnn.datasets.sources.events.folder import SUFFIXES, load_events_folder
from tests.datasets.sources.events.test_nmnist import all_rows, rows
from tests.formats.events import encoders

EVENTS = [(700, 3, 2, 1), (705, 0, 1, 0), (702, 4, 0, 1), (702, 1, 1, 0)]
SINCE_FIRST = [(0, 3, 2, 1), (2, 4, 0, 1), (2, 1, 1, 0), (5, 0, 1, 0)]
IN_ORDER = [(700 + t, x, y, p) for t, x, y, p in SINCE_FIRST]


def tree(root: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return str(root)


def two_classes(events, encode=encoders.nmnist, suffix="bin", parts=("train", "test")):
    return {
        f"{part}/{label}/{i}.{suffix}": encode(events)
        for part in parts
        for label in ("wave", "clap")
        for i in range(2)
    }


@pytest.mark.parametrize("limit", [1.0, 0])
@pytest.mark.parametrize(("start", "expected"), [("first", SINCE_FIRST), ("zero", IN_ORDER)])
def test_times_and_their_order(tmp_path, limit, start, expected):
    path = tree(tmp_path, two_classes(EVENTS))
    source = load_events_folder(
        path=path, start=start, memory_limit=limit, size=[3, 5], duration=0.006
    )
    assert source.classes == ["clap", "wave"]
    assert source.train.targets.tolist() == [0, 0, 1, 1]
    assert source.spec.document() == {"kind": "events", "shape": [2, 3, 5], "duration": 6}
    assert all_rows(source.train) == all_rows(source.test) == [expected] * 4
    assert isinstance(source.train.inputs, Events if limit else LazyRecordings)


def test_size_and_duration_are_those_of_the_largest(tmp_path):
    files = two_classes(EVENTS)
    files["test/wave/0.bin"] = encoders.nmnist([(10, 8, 1, 1), (50, 1, 6, 1)])
    spec = load_events_folder(path=tree(tmp_path, files)).spec
    assert spec.shape == (2, 7, 9) and spec.duration == 41
    assert load_events_folder(path=str(tmp_path), start="zero").spec.duration == 706


def dsec(events):
    with tempfile.TemporaryDirectory() as folder:
        return encoders.dsec(Path(folder) / "a.h5", events).read_bytes()


ENCODERS = {
    "dat": encoders.dat,
    "raw": encoders.evt3,
    "RAW": encoders.evt2,
    "aedat": encoders.aedat2,
    "es": lambda events: encoders.event_stream(sorted(events)),
    "npz": encoders.npz,
    "bin": encoders.nmnist,
    "bs2": encoders.nmnist,
    "aedat4": encoders.aedat4,
    "h5": dsec,
}
SLOW = ("aedat4", "h5")  # each file is read by a process of its own


@pytest.mark.parametrize(
    "suffix", [pytest.param(each, marks=[pytest.mark.slow] * (each in SLOW)) for each in ENCODERS]
)
def test_formats(tmp_path, suffix):
    files = two_classes(IN_ORDER, ENCODERS[suffix], suffix, parts=("train",))
    source = load_events_folder(path=tree(tmp_path, files))
    expected = [sorted(SINCE_FIRST)] if suffix == "es" else [SINCE_FIRST]
    assert all_rows(source.train) == 4 * expected
    stated = {"aedat": (128, 128), "es": (240, 320), "aedat4": (240, 320)}
    assert source.spec.shape[1:] == stated.get(suffix, (3, 5))


def test_every_format_that_is_read_is_found():
    assert {f".{suffix.lower()}" for suffix in ENCODERS} | {".hdf5"} == SUFFIXES


@pytest.mark.parametrize("inside", ["", "gestures/"])
def test_a_zip_equals_its_tree(tmp_path, inside):
    path = tree(
        tmp_path / "tree", two_classes(EVENTS) | {"notes.txt": b"", "train/wave/.x.bin": b""}
    )
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in sorted((tmp_path / "tree").rglob("*.bin")):
            archive.write(file, f"{inside}{file.relative_to(tmp_path / 'tree').as_posix()}")
    a, b = (load_events_folder(path=str(each)) for each in (path, tmp_path / "a.zip"))
    assert all_rows(a.train) == all_rows(b.train) == [SINCE_FIRST] * 4
    lazy = load_events_folder(path=str(tmp_path / "a.zip"), size=[3, 5], duration=1, memory_limit=0)
    copied = pickle.loads(pickle.dumps(lazy.test.inputs))
    assert rows(copied[2]) == SINCE_FIRST


def test_a_test_part_and_a_validation_part(tmp_path):
    train = tree(tmp_path / "a", two_classes(EVENTS, parts=("train", "val")))
    test = tree(tmp_path / "b", two_classes(EVENTS[:2], parts=("test",)))
    data = load_dataset("events-folder", path=train, test_path=test)
    assert [len(each) for each in (data.train, data.validation, data.test)] == [4, 4, 4]
    assert all_rows(data.test)[0] == [(0, 3, 2, 1), (5, 0, 1, 0)]


event = st.tuples(
    st.integers(0, 2**23 - 1), st.integers(0, 9), st.integers(0, 6), st.integers(0, 1)
)


def test_blocks_of_recordings_are_joined(tmp_path, monkeypatch):
    path = tree(tmp_path, two_classes(EVENTS))
    expected = all_rows(load_events_folder(path=path).train)
    for block in (0, 7 * 4, 7 * 4 + 1):  # each recording alone, by twos
        monkeypatch.setattr(decode, "BLOCK", block)
        assert all_rows(load_events_folder(path=path).train) == expected


@pytest.mark.slow
@given(st.lists(st.lists(event, min_size=1, max_size=12), min_size=4, max_size=4), st.booleans())
@settings(max_examples=30, deadline=None)
def test_any_recordings_are_sorted_and_equal_in_memory_and_lazy(recordings, shifted):
    names = ["a/0.bin", "a/1.bin", "b/0.bin", "b/1.bin"]
    with tempfile.TemporaryDirectory() as folder:
        content = map(encoders.nmnist, recordings)
        path = tree(Path(folder), dict(zip(names, content, strict=True)))
        options = {"path": path, "size": [7, 10], "start": "first" if shifted else "zero"}
        held = load_events_folder(**options)
        lazy = load_events_folder(**options, duration=9_000, memory_limit=0)
        expected = []
        for events in recordings:
            first = min(t for t, *_ in events) if shifted else 0
            expected.append([(t - first, *rest) for t, *rest in sorted(events, key=lambda e: e[0])])
        assert all_rows(held.train) == all_rows(lazy.train) == expected
        last = max(events[-1][0] for events in expected)
        assert held.spec.duration == last + 1


def test_lazy_recordings_need_a_duration_and_a_size(tmp_path):
    path = tree(tmp_path, two_classes(EVENTS))
    with pytest.raises(ConfigError, match=r"data\.duration is needed") as caught:
        load_events_folder(path=path, memory_limit=0)
    assert "decoded at access" in caught.value.why
    assert (
        "length of a recording in ms is unknown" in caught.value.why
        and "memory_limit" in caught.value.remedy
    )
    with pytest.raises(ConfigError, match=r"data\.size is needed"):
        load_events_folder(path=path, memory_limit=0, duration=1.0)
    stated = tree(tmp_path / "es", two_classes(IN_ORDER[:1], encoders.event_stream, "es"))
    source = load_events_folder(path=stated, memory_limit=0, duration=1.0)
    assert source.spec.shape == (2, 240, 320)


def test_the_limit_counts_the_events_in_memory(tmp_path):
    """Seven bytes an event: times of 4, and x, y, p of one each."""
    path = tree(tmp_path, two_classes(EVENTS))
    needed = 8 * len(EVENTS) * 7 / 2**30
    options = {"path": path, "size": [3, 5], "duration": 1.0}
    for limit, kind in ((1.01 * needed, Events), (0.99 * needed, LazyRecordings)):
        source = load_events_folder(**options, memory_limit=limit)
        assert isinstance(source.train.inputs, kind)


def test_the_limit_holds_where_the_sample_is_not_typical(tmp_path):
    """A long recording, well packed, that is not among the 20 equally spaced ones."""
    files = {f"{label}/{i:02}.bin": encoders.nmnist(EVENTS) for label in "ab" for i in range(30)}
    files["a/01.npz"] = encoders.npz(EVENTS * 2_000)
    del files["a/01.bin"]
    path = tree(tmp_path, files)
    total = (59 + 2_000) * len(EVENTS) * 7
    estimate = sum(map(len, files.values())) / 5 * 7
    assert estimate < 0.9 * total, "otherwise the sample alone decides"
    options = {"path": path, "size": [3, 5], "duration": 1.0}
    for share, kind in ((1.01, Events), (0.99, LazyRecordings)):
        source = load_events_folder(**options, memory_limit=share * total / 2**30)
        assert isinstance(source.train.inputs, kind)


def test_files_of_different_sensors(tmp_path):
    files = two_classes(IN_ORDER[:1], encoders.event_stream, "es")
    files["train/wave/1.es"] = encoders.event_stream(IN_ORDER[:1], size=(100, 120))
    path = tree(tmp_path, files)
    with pytest.raises(DataError, match=r"wave/1\.es is of another sensor than .*clap/0\.es") as e:
        load_events_folder(path=path)
    assert e.value.why == "100x120 pixels (height x width), not 240x320"
    assert load_events_folder(path=path, size=[240, 320]).spec.shape == (2, 240, 320)


@pytest.mark.parametrize("limit", [1.0, 0])
@pytest.mark.parametrize(
    ("options", "what", "why"),
    [
        ({"size": [2, 5]}, "outside a sensor of 2x5", "1 of them, the first at x = 3, y = 2"),
        ({"polarities": 1}, "has off events", "2 of 4"),
    ],
)
def test_a_recording_that_does_not_fit_is_refused_by_name(tmp_path, limit, options, what, why):
    files = two_classes([(0, 0, 0, 1)], parts=("train",))
    files["train/wave/1.bin"] = encoders.nmnist(EVENTS)
    path = tree(tmp_path, files)
    with pytest.raises(DataError, match=what) as caught:
        source = load_events_folder(
            **{"path": path, "size": [9, 9], "duration": 1.0, "memory_limit": limit} | options
        )
        list(Batches(source.train, batch_size=2, full_scale=255))
    assert "train/wave/1.bin" in caught.value.what and why in caught.value.why


def test_a_sensor_without_polarity(tmp_path):
    path = tree(tmp_path, two_classes([(5, 300, 0, 1)], encoders.cochlea, "aedat"))
    assert load_events_folder(path=path, polarities=1).spec.shape == (1, 1, 301)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("1.bin", encoders.nmnist(EVENTS)[:-2], "not a readable N-MNIST file"),
        ("1.raw", b"something else", "in no format of events that is read"),
        ("1.es", encoders.event_stream(IN_ORDER)[:-1], "not a readable Event Stream file"),
        ("1.npz", encoders.npz(EVENTS, offsets=np.array([0, 1, 4])), "holds 2 recordings, not one"),
    ],
)
def test_a_damaged_recording_is_refused_by_name(tmp_path, name, content, what):
    files = two_classes(EVENTS, parts=("train",)) | {f"train/wave/{name}": content}
    with pytest.raises(DataError, match=what) as caught:
        load_events_folder(path=tree(tmp_path, files))
    assert f"train/wave/{name}" in caught.value.what


@pytest.mark.parametrize("limit", [1.0, 0])
def test_many_events_of_equal_time_keep_their_order(tmp_path, limit):
    events = [(50 - i // 100, i % 200, 0, 1) for i in range(400)]
    path = tree(tmp_path, two_classes(events))
    source = load_events_folder(path=path, size=[1, 200], duration=1.0, memory_limit=limit)
    expected = [(t - 47, *rest) for t, *rest in sorted(events, key=lambda event: event[0])]
    assert all_rows(source.train)[0] == expected


def test_half_an_hour_and_more(tmp_path):
    """Times beyond 2³¹ µs, 36 minutes."""
    content = encoders.npz([(5, 0, 0, 1), (2**31 + 7, 1, 0, 1)])
    path = tree(tmp_path, two_classes(EVENTS) | {"train/wave/9.npz": content})
    source = load_events_folder(path=path)
    assert source.spec.duration == 2**31 + 3
    assert all_rows(source.train)[4] == [(0, 0, 0, 1), (2**31 + 2, 1, 0, 1)]


@pytest.mark.parametrize("times", [(-(2**63), 2**63 - 1), (0, 10**12)])
def test_absurd_times(tmp_path, times):
    """Also those whose difference is no int64."""
    content = encoders.npz([(times[0], 0, 0, 1), (times[1], 0, 0, 1)])
    path = tree(tmp_path, two_classes(EVENTS) | {"train/wave/9.npz": content})
    with pytest.raises(DataError, match=r"wave/9\.npz is longer than 1,000,000,000,000 µs"):
        load_events_folder(path=path)


def test_events_before_zero_and_late_ones(tmp_path):
    files = two_classes(EVENTS) | {"train/wave/9.npz": encoders.npz([(-3, 0, 0, 1)])}
    path = tree(tmp_path, files)
    with pytest.raises(DataError, match=r"9\.npz has events before the beginning"):
        load_events_folder(path=path, start="zero")
    assert load_events_folder(path=path).spec.duration == 6
    (tmp_path / "train/wave/9.npz").write_bytes(encoders.npz([(10**12, 0, 0, 1)]))
    with pytest.raises(DataError, match=r"9\.npz has events later than"):
        load_events_folder(path=path, start="zero")


def test_a_recording_without_events_is_a_sample(tmp_path):
    empty = encoders.event_stream([])
    files = two_classes(IN_ORDER, lambda e: encoders.event_stream(sorted(e)), "es")
    path = tree(tmp_path, files | {"train/clap/0.es": empty})
    for options in ({}, {"memory_limit": 0, "duration": 1.0}):
        source = load_events_folder(path=path, **options)
        assert [len(each) for each in all_rows(source.train)] == [0, 4, 4, 4]
        batches = list(Batches(source.train, batch_size=4, full_scale=255))
        assert batches[0][0].counts().tolist() == [0, 4, 4, 4]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"size": [3]}, "size is"),
        ({"duration": float("nan")}, "duration is nan"),
        ({"polarities": 3}, "polarities is 3"),
        ({"start": "last"}, "start is 'last'"),
    ],
)
def test_wrong_options(tmp_path, options, text):
    with pytest.raises(ConfigError, match=text):
        load_events_folder(path=str(tmp_path), **options)


def test_no_recordings(tmp_path):
    path = tree(tmp_path, {"a/picture.png": b"x"})
    with pytest.raises(DataError, match="has no class folders with recordings") as caught:
        load_events_folder(path=path)
    looked, there = caught.value.why.split("; not read: ")
    assert ".aedat4" in looked and ".png" not in looked and there == "1 .png (an image)"
    assert caught.value.remedy == "use data.name=folder"


def test_parts_and_classes_of_any_files(tmp_path):
    path = tree(tmp_path, two_classes(EVENTS) | {"train/wave/0.txt": b""})
    layout = read_layout(path, None, suffixes={".bin"}, noun="recording")
    assert layout.classes == ["clap", "wave"] and sorted(layout.parts) == ["test", "train"]
    assert layout.train.names[2] == "train/wave/0.bin"
    assert torch.equal(layout.train.targets, torch.tensor([0, 0, 1, 1]))
