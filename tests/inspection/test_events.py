"""Files of events: figures equal a loop over the events that were written."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.core import DataError
from asnn.formats.kinds import detect_kind
from asnn.inspection import inspect
from tests.formats.events import encoders
from tests.formats.events.conftest import sample as sample
from tests.formats.events.test_samples import TRUTH
from tests.support import format_files

EVENTS = [(5, 3, 2, 1), (9, 0, 7, 0), (9, 30, 1, 1), (70_000, 12, 12, 1)]
WRITERS = {
    ".bin": ("N-MNIST", encoders.nmnist, None),
    ".bs2": ("N-MNIST", encoders.nmnist, None),
    ".dat": ("Prophesee DAT", encoders.dat, None),
    ".raw": ("EVT 2", encoders.evt2, None),
    ".raw3": ("EVT 3", encoders.evt3, None),
    ".aedat": ("AEDAT 2", encoders.aedat2, [128, 128]),
    ".aedat4": ("AEDAT 4", encoders.aedat4, [240, 320]),
    ".es": ("Event Stream", encoders.event_stream, [240, 320]),
    ".npz": ("NPZ", encoders.npz, None),
}


def figures_of(events):
    """The figures of one recording, event by event."""
    times = [t for t, *_ in events]
    columns, rows = [x for _, x, _, _ in events], [y for *_, y, _ in events]
    duration = max(times) - min(times)
    return {
        "events": len(events),
        "recordings": 1,
        "first_us": min(times),
        "last_us": max(times),
        "duration_us": duration,
        "events_per_second": 1e6 * len(events) / duration if duration else None,
        "x": [min(columns), max(columns)],
        "y": [min(rows), max(rows)],
        "on_share": sum(p for *_, p in events) / len(events),
        "labels": None,
    }


def assert_figures(found, expected):
    for key, value in expected.items():
        assert found[key] == (pytest.approx(value) if isinstance(value, float) else value), key


def needs(suffix):
    if suffix == ".aedat4":
        pytest.importorskip("aedat", reason="pip install 'asnn[events]'")


@pytest.mark.parametrize("suffix", WRITERS)
def test_figures_equal_a_loop_over_events(suffix, tmp_path):
    needs(suffix)
    name, encode, size = WRITERS[suffix]
    path = tmp_path / f"recording{suffix}"
    path.write_bytes(encode(EVENTS))
    found = inspect(path)
    expected = figures_of(EVENTS)
    assert_figures(found, expected)
    assert (found["kind"], found["format"], found["sensor"]) == ("events", name, size)
    assert found["size"] == path.stat().st_size and found["path"] == str(path)
    assert bool(found["warnings"]) == (name == "N-MNIST")
    if suffix not in (".bin", ".bs2", ".npz"):  # the content tells the format
        assert detect_kind(path.rename(tmp_path / "renamed.onnx")) == "events"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [each for each in WRITERS if each != ".raw3"])
def test_cut_and_damaged_files_are_refused(suffix, tmp_path):
    needs(suffix)
    content = WRITERS[suffix][1](EVENTS)
    path = tmp_path / f"cut{suffix}"
    for kept in (len(content) - 1, len(content) - 3, len(content) // 2 + (len(content) % 2)):
        path.write_bytes(content[:kept])
        try:
            found = inspect(path)
        except DataError:
            continue
        # Half of a file of whole words is a shorter recording.
        assert kept == len(content) // 2 + (len(content) % 2) and found["events"] < len(EVENTS)
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match="is not a readable"):
        inspect(path)


def test_many_recordings_with_labels(tmp_path):
    events = [(10, 1, 2, 0), (40, 3, 4, 1), (5, 0, 0, 1), (7, 9, 8, 1), (9, 2, 2, 0)]
    more = {
        "offsets": np.array([0, 2, 2, 5]),
        "labels": np.array([1, 0, 1]),
        "class_names": np.array(["no", "yes"]),
        "size": np.array([10, 12]),
    }
    (tmp_path / "many.npz").write_bytes(encoders.npz(events, **more))
    found = inspect(tmp_path / "many.npz")
    assert found["recordings"] == 3 and found["events_per_recording"] == [0, 3]
    assert found["durations_us"] == [0, 30] and found["duration_us"] == 30 + 4
    assert found["events_per_second"] == pytest.approx(5 / 34e-6)
    assert found["labels"] == {"no": 1, "yes": 2} and found["sensor"] == [10, 12]
    assert found["warnings"] == ["1 of its recordings have no events"]


def test_a_clock_that_steps_back_is_counted_within_recordings_only(tmp_path):
    events = [(10, 1, 2, 0), (4, 3, 4, 1), (6, 0, 0, 1), (1, 9, 8, 1), (9, 2, 2, 0)]
    (tmp_path / "a.npz").write_bytes(encoders.npz(events, offsets=np.array([0, 3, 5])))
    (warning,) = inspect(tmp_path / "a.npz")["warnings"]
    assert "steps back 1 times" in warning


@pytest.mark.slow
def test_hdf5_of_shd_and_dsec(tmp_path):
    spikes = [[(0.5, 3), (0.75, 699)], [(0.25, 0)]]
    encoders.shd(tmp_path / "shd.h5", spikes, [1, 0], ["zero", "one"])
    found = inspect(tmp_path / "shd.h5")
    assert (found["kind"], found["format"]) == ("events", "HDF5")
    assert (found["recordings"], found["events"], found["x"]) == (2, 3, [0, 699])
    assert (found["first_us"], found["last_us"]) == (250_000, 750_000)
    assert found["labels"] == {"zero": 1, "one": 1} and found["on_share"] == 1
    encoders.dsec(tmp_path / "dsec.hdf5", EVENTS, t_offset=1_000)
    found, expected = inspect(tmp_path / "dsec.hdf5"), figures_of(EVENTS)
    assert found["events"] == 4 and found["first_us"] == expected["first_us"] + 1_000
    assert found["events_per_second"] == pytest.approx(expected["events_per_second"])


@pytest.mark.slow
def test_hdf5_of_a_graph_or_of_something_else(tmp_path):
    format_files.write_nir(tmp_path / "graph.h5")
    assert inspect(tmp_path / "graph.h5")["kind"] == "nir"
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["temperature"] = np.zeros(3)
    with pytest.raises(DataError) as caught:
        inspect(tmp_path / "other.h5")
    assert "no group `node`" in caught.value.why and "temperature" in caught.value.why
    content = encoders.dsec(tmp_path / "a.h5", EVENTS).read_bytes()
    (tmp_path / "a.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="is not a readable"):
        inspect(tmp_path / "a.h5")


def test_archives_of_other_arrays_are_described_as_arrays(tmp_path):
    columns = {name: np.arange(3) for name in "txy"}
    for more in ({}, {"p": np.zeros(3)}, {"p": np.zeros((3, 1), int)}, {"p": np.array(1)}):
        np.savez(tmp_path / "a.npz", **columns, **more)
        found = inspect(tmp_path / "a.npz")
        assert found["kind"] == "npz" and set(found["arrays"]) == {*"txy", *more}
    # All four are columns of whole numbers, and a polarity is neither 0 nor 1.
    np.savez(tmp_path / "a.npz", **columns, p=np.arange(3))
    with pytest.raises(DataError, match="p"):
        inspect(tmp_path / "a.npz")


def test_times_at_both_ends_of_int64(tmp_path):
    low, high = -(2**63), 2**63 - 1
    np.savez(tmp_path / "a.npz", t=np.array([low, high]), **dict.fromkeys("xyp", np.zeros(2, int)))
    found = inspect(tmp_path / "a.npz")
    assert found["duration_us"] == high - low == found["durations_us"][1]
    assert found["events_per_second"] == pytest.approx(2e6 / (high - low))


def test_no_events_at_all(tmp_path):
    (tmp_path / "empty.es").write_bytes(encoders.event_stream([]))
    found = inspect(tmp_path / "empty.es")
    assert found["events"] == 0 and found["duration_us"] == 0
    for key in ("first_us", "last_us", "events_per_second", "x", "y", "on_share"):
        assert found[key] is None


def test_other_versions_say_which_they_are(tmp_path):
    for name, content, says in (
        ("a.aedat", b"#!AER-DAT3.1\r\n" + bytes(80), "AEDAT 3.1"),
        ("a.raw", b"% format EVT21\n% end\n" + bytes(80), "EVT21"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError) as caught:
            inspect(tmp_path / name)
        assert says in caught.value.why


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**23 - 1), st.integers(0, 255), st.integers(0, 239), st.integers(0, 1)
        ),
        min_size=1,
        max_size=40,
    )
)
def test_any_events(tmp_path_factory, events):
    path = Path(tmp_path_factory.mktemp("events")) / "a.dat"
    path.write_bytes(encoders.dat(events))
    found, expected = inspect(path), figures_of(events)
    assert_figures(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRUTH)
def test_published_recordings(name, sample):
    needs(Path(name).suffix)
    found = inspect(sample(f"events/{name}"))
    count, first, last, columns, rows, share, size = TRUTH[name]
    assert (found["events"], found["first_us"], found["last_us"]) == (count, first, last)
    assert (found["x"], found["y"]) == (list(columns), list(rows))
    assert found["on_share"] == pytest.approx(share, abs=5e-5)
    assert found["sensor"] == (None if size is None else list(size))
    assert found["events_per_second"] == pytest.approx(count / (last - first) * 1e6)
