"""`asnn encode` of recordings of events and of series: files, figures, pictures, refusals."""

import io
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from asnn.coding import create_coding, load_spikes
from asnn.coding.samples import EventBatch, SampleSpec
from tests.formats.events import encoders
from tests.formats.events.conftest import sample as sample
from tests.support.samples import recording

EVENTS = [(100 + 10 * i, i % 9, i % 5, i % 2) for i in range(80)]


def batch(events, shape, duration):
    """The recording as a batch, its times from the first event."""
    t, x, y, p = np.array(events).T
    one = SimpleNamespace(t=t - t[0], x=x, y=y, p=p)
    return EventBatch.of([one], shape, duration)


@pytest.fixture
def es(tmp_path):
    (tmp_path / "box.es").write_bytes(encoders.event_stream(EVENTS, size=(6, 10)))
    return "box.es"


def many(path: Path, count: int = 12) -> str:
    """Write recordings of 10, 11, ... random events of two classes."""
    sizes = [10 + i for i in range(count)]
    parts = [recording(size, (2, 5, 7), i) for i, size in enumerate(sizes)]
    columns = {name: np.concatenate([getattr(each, name) for each in parts]) for name in "txyp"}
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    labels = np.arange(count) % 2
    np.savez(path, **columns, offsets=offsets, labels=labels, size=[5, 7])
    return path.name


@pytest.mark.parametrize("coding", ["frames", "voxel", "time-surface"])
def test_a_recording_becomes_a_file_that_says_what_it_holds(cli, es, coding):
    result = cli("encode", es, "--coding", coding, "--steps", "5")
    assert (result.code, result.out) == (0, "")
    file = load_spikes(Path(f"box.{coding}.npz"))
    expected = create_coding(coding, steps=5).encode(batch(EVENTS, (2, 6, 10), 791))
    assert np.array_equal(file.code, expected.numpy())
    assert file.meta["input"] == {"kind": "events", "shape": [2, 6, 10], "duration": 791}
    assert file.meta["axes"] == ["step", "sample", "polarity", "row", "column"]
    assert file.meta["source"] == "box.es" and file.labels is None
    assert "1 recording to [5, 1, " in result.err and "80 events in" in result.err


def test_frames_is_the_code_of_events_without_a_name(cli, es):
    found = json.loads(cli("encode", es, "--json").out)
    assert (found["coding"], found["steps"], found["output"]) == ("frames", 4, "box.frames.npz")
    (each,) = found["each"]
    assert each["events"] == 80 and found["events_per_sample"] == 80
    assert each["spikes"] == load_spikes(Path("box.frames.npz")).code.sum()


def test_options_of_the_code(cli, es):
    options = ("--set", "value=count", "--set", "downsample=2", "--set", "duration=0.4")
    assert cli("encode", es, *options, "-o", "a.npy").code == 0
    code = create_coding("frames", steps=4, value="count", downsample=2, duration=0.4)
    assert np.array_equal(np.load("a.npy"), code.encode(batch(EVENTS, (2, 6, 10), 791)).numpy())


WRITERS = {
    "a.bin": encoders.nmnist,
    "a.bs2": encoders.nmnist,
    "a.dat": encoders.dat,
    "a.aedat": encoders.aedat2,
    "a.raw": encoders.evt3,
    "a.npz": encoders.npz,
    "renamed": encoders.evt2,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_events(cli, name, tmp_path):
    (tmp_path / name).write_bytes(WRITERS[name](EVENTS))
    found = json.loads(cli("encode", name, "--set", "value=count", "-o", "o.npz", "--json").out)
    assert found["each"] == [
        {"events": 80, "spikes": None, "sum": 80, "nonzero": pytest.approx(found["nonzero"])}
    ]
    rows, columns = load_spikes(Path("o.npz")).code[:, 0].sum((0, 1)).nonzero()
    assert {*zip(columns.tolist(), rows.tolist(), strict=True)} == {(x, y) for _, x, y, _ in EVENTS}


@pytest.mark.slow
def test_the_library_formats(cli, tmp_path):
    pytest.importorskip("aedat", reason="pip install 'asnn[events]'")
    (tmp_path / "a.aedat4").write_bytes(encoders.aedat4(EVENTS, size=(6, 10)))
    assert json.loads(cli("encode", "a.aedat4", "--json").out)["each"][0]["events"] == 80
    encoders.shd(tmp_path / "a.h5", [[(0.5, 3), (0.75, 9)], [(0.25, 0)]], [1, 0], ["b", "c"])
    found = json.loads(cli("encode", "a.h5", "--steps", "2", "--json", "--plot", "p.png").out)
    assert found["samples"] == 2 and found["shape"] == [2, 2, 1, 1, 10]
    assert load_spikes(Path("a.frames.npz")).labels.tolist() == [1, 0]
    assert found["each"][0]["events"] == 2


def test_stdin(cli, monkeypatch):
    content = io.BytesIO(encoders.event_stream(EVENTS, size=(6, 10)))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(content))
    found = json.loads(cli("encode", "-", "--json").out)
    assert found["source"] == "stdin" and found["each"][0]["events"] == 80


def test_a_file_of_many_with_labels(cli, tmp_path):
    many(tmp_path / "many.npz")
    result = cli("encode", "many.npz", "--limit", "3", "-o", "a.npz")
    assert "3 recordings to [4, 3, 2, 5, 7], on average 11 events in" in result.err
    lines = [line.split() for line in result.err.splitlines()]
    assert [line[:2] for line in lines if line and line[0] in "012"] == [
        ["0", "10"], ["1", "11"], ["2", "12"]
    ]  # fmt: skip
    file = load_spikes(Path("a.npz"))
    assert file.labels.tolist() == [0, 1, 0]
    cli("encode", "many.npz", "--index", "2", "-o", "b.npz")
    alone = load_spikes(Path("b.npz"))
    assert np.array_equal(alone.code, file.code[:, 2:]) and alone.labels.tolist() == [0]
    first = cli("encode", "many.npz", "--limit", "1", "--json").out
    assert json.loads(first)["each"][0]["events"] == 10


def test_a_data_set_of_events(cli, tmp_path):
    many(tmp_path / "many.npz")
    options = ("--dataset", "events-npz", "--set", "data.path=many.npz", "--split", "train")
    found = json.loads(cli("encode", *options, "--set", "value=count", "--json").out)
    assert found["source"] == "events-npz/train" and found["output"].startswith("events-npz-train")
    assert found["shape"][2:] == [2, 5, 7]
    assert all(each["sum"] == each["events"] for each in found["each"])
    one = cli("encode", *options, "--set", "value=count", "--index", "0", "--json")
    assert json.loads(one.out)["each"] == found["each"][:1]


@pytest.mark.slow
def test_index_of_images(cli):
    cli("encode", "--dataset", "digits", "--limit", "3", "-o", "a.npy")
    cli("encode", "--dataset", "digits", "--index", "2", "-o", "b.npy")
    assert np.array_equal(np.load("a.npy")[:, 2:], np.load("b.npy"))


@pytest.mark.slow
def test_pictures_and_comparisons(cli, es, tmp_path):
    assert cli("encode", es, "--plot", "p.png").code == 0
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")
    arguments = ("--compare", "frames,voxel,time-surface", "--steps", "3", "--set", "tau=2.0")
    result = cli("encode", es, *arguments)
    assert result.code == 0 and "box.es in 3 steps" in result.err
    assert sorted(os.listdir()) == ["box.codes.png", "box.es", "box.frames.npz", "p.png"]
    found = json.loads(cli("encode", es, *arguments, "--json").out)
    codes = found["codes"]
    assert codes["time-surface"]["options"]["tau"] == 2 and codes["voxel"]["spikes"] is None
    assert codes["voxel"]["step_shape"] == [1, 6, 10] and found["shape"] == [2, 6, 10]
    alone = json.loads(cli("encode", es, "--steps", "3", "--json").out)["each"][0]
    assert {key: codes["frames"][key] for key in alone} == alone
    many(tmp_path / "many.npz")
    one = cli("encode", "many.npz", "--compare", "frames", "--index", "3", "--json").out
    assert json.loads(one)["codes"]["frames"]["events"] == 13
    assert "the first recording of many.npz" in cli("encode", "many.npz", "--compare", "voxel").err


@pytest.fixture
def series(tmp_path):
    random = np.random.default_rng(0)
    x = random.random((12, 6, 3)).astype("f4")
    steps = random.integers(-1, 2, (12, 6))
    steps[:, 0], steps[0, 1] = 0, 1
    steps[:, 2] = 1
    np.savez(tmp_path / "s.npz", x_train=x, y_train=np.arange(12) % 2, x_test=x[:3] + 1,
             y_test=np.array([0, 1, 0]))  # fmt: skip
    np.savez(tmp_path / "steps.npz", x_train=x > 0.5, y_train=steps, x_test=x[:3] > 0.5,
             y_test=steps[:3])  # fmt: skip
    np.savez(tmp_path / "real.npz", x_train=x, y_train=x[:, 0], x_test=x, y_test=x[:, 0])
    return x


def test_series_have_their_own_steps(cli, series):
    found = json.loads(
        cli("encode", "--dataset", "series-npz", "--path", "s.npz", "--decode", "--json").out
    )
    assert (found["coding"], found["steps"], found["shape"]) == ("given", 6, [6, 3, 3])
    assert (found["rmse"], found["greatest_error"]) == (0, 0)
    file = load_spikes(Path("series-npz-test.given.npz"))
    assert np.array_equal(file.code, (series[:3] + 1).transpose(1, 0, 2))
    assert file.labels.tolist() == [0, 1, 0] and file.meta["axes"] == ["step", "sample", "feature"]
    assert found["each"][0]["sum"] == pytest.approx((series[0] + 1).sum(dtype="f8"))


def test_series_of_spikes_with_classes_of_steps(cli, series):
    arguments = ("encode", "--dataset", "series-npz", "--path", "steps.npz", "-o", "a.npz")
    assert cli(*arguments, "--plot", "p.svg").code == 0
    file = load_spikes(Path("a.npz"))
    with np.load("steps.npz") as archive:
        assert np.array_equal(file.code, archive["x_test"].transpose(1, 0, 2))
        assert np.array_equal(file.step_labels, archive["y_test"])
    assert file.code.dtype == np.uint8 and file.labels is None
    assert cli(*arguments, "--steps", "3", "--set", "fit=sum").code == 0
    assert load_spikes(Path("a.npz")).step_labels.shape == (3, 3)


def test_series_with_real_values(cli, series):
    assert cli("encode", "--dataset", "series-npz", "--path", "real.npz", "-o", "a.npz").code == 0
    file = load_spikes(Path("a.npz"))
    assert np.array_equal(file.values, series[:, 0]) and file.labels is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["box.es", "--coding", "temporal"], ["takes images, not events", "use --coding frames"]),
        (["box.es", "--coding", "given"], ["takes series, not events", "use --coding frames"]),
        (["digits", "--coding", "voxel"], ["takes events, not images", "use --coding hybrid"]),
        (["series", "--coding", "hybrid"], ["takes images, not series", "use --coding given"]),
        (["series", "--steps", "4"], ["have 6 steps, the code 4", "use --steps 6"]),
        (
            ["series", "--steps", "9", "--set", "fit=crop"],
            ["fewer than the 9", "--steps 6 or less"],
        ),
        (["series", "--compare", "given"], ["--compare does not take series", "--plot FILE"]),
        (["box.es", "--compare", "frames,rate"], ["takes images, not events"]),
        (["digits", "--compare", "direct,frames"], ["takes events, not images"]),
        (["box.es", "--decode"], ["cannot be decoded", "keep the time of each"]),
        (["box.es", "--coding", "voxel", "--steps", "1"], ["needs 2 steps"]),
        (["box.es", "--set", "tau=1.0"], ["tau: unknown key"]),
        (["box.es", "--coding", "voxel", "--set", "polarity=half"], ["polarity"]),
        (["box.es", "--index", "1"], ["--index is 1", "box.es has the samples 0 to 0"]),
        (["box.es", "--index", "0", "--limit", "1"], ["--limit does not go with --index"]),
        (["large.npz"], ["takes too much memory", "downsample"]),
    ],
)
def test_refusals(cli, es, series, arguments, says, tmp_path):
    corner = np.array([2**23, 0])
    (tmp_path / "large.npz").write_bytes(encoders.npz(EVENTS[:2], x=corner, y=corner))
    inputs = {
        "digits": ["--dataset", "digits"],
        "series": ["--dataset", "series-npz", "--path", "s.npz"],
    }
    first, *rest = arguments
    before = sorted(os.listdir())
    result = cli("encode", *inputs.get(first, [first]), *rest)
    assert result.code == 2 and result.out == "" and "Traceback" not in result.err
    assert all(text in result.err for text in says), result.err
    assert "coding." not in result.err and "recipe" not in result.err
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.es", encoders.event_stream(EVENTS)[:-2], "ends too early"),
        ("a.bin", encoders.nmnist(EVENTS)[:-1], "ends too early"),
        ("a.aedat", b"#!AER-DAT3.1\r\n" + bytes(64), "AEDAT 3.1"),
        ("a.npz", encoders.npz(EVENTS, offsets=np.array([0, 99])), "offsets do not go up"),
        ("a.npz", encoders.npz([(-5, 0, 0, 1), (5, 0, 0, 1)], offsets=np.array([0, 1, 2])),
         "before the beginning"),
        ("a.npz", encoders.npz(EVENTS, offsets=np.zeros(0, int)), "offsets do not go up"),
        ("a.npz", encoders.npz([], offsets=np.zeros(1, int)), "holds no recordings"),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(40), "is not a readable HDF5 file"),
    ],
    ids=["cut es", "cut bin", "aedat 3", "offsets", "before 0", "no offsets", "none", "hdf5"],
)  # fmt: skip
def test_damaged_recordings(cli, name, content, says, tmp_path):
    (tmp_path / name).write_bytes(content)
    result = cli("encode", name)
    assert result.code == 4 and says in result.err and "Traceback" not in result.err
    assert os.listdir() == [name]


@pytest.mark.slow
def test_a_recording_without_events(cli, tmp_path):
    (tmp_path / "a.es").write_bytes(encoders.event_stream([], size=(3, 4)))
    found = json.loads(cli("encode", "a.es", "--json", "--plot", "p.png").out)
    assert found["each"] == [{"events": 0, "spikes": 0, "sum": 0, "nonzero": 0}]


def test_times_of_one_recording_begin_with_its_first_event(cli, tmp_path):
    late = [(t + 2**40, x, y, p) for t, x, y, p in EVENTS]
    for name, events in (("a.npz", EVENTS), ("b.npz", late)):
        (tmp_path / name).write_bytes(encoders.npz(events))
        assert cli("encode", name, "--coding", "voxel", "-o", f"{name}.npy").code == 0
    assert np.array_equal(np.load("a.npz.npy"), np.load("b.npz.npy"))


@pytest.mark.slow
def test_published_recordings(cli, sample):
    for name, count, shape in (
        ("tonic_sample_nmnist.bin", 4_325, [4, 1, 2, 34, 34]),
        ("VowelSounds.aedat", 111_318, [4, 1, 1, 1, 1024]),
        ("faery_dvs.es", 473_225, [4, 1, 2, 240, 320]),
    ):
        path = sample(f"events/{name}")
        found = json.loads(cli("encode", path, "--set", "value=count", "--json").out)
        assert found["shape"] == shape and found["each"][0]["sum"] == count


def test_spec_of_a_cochlea_has_one_polarity(cli, tmp_path):
    (tmp_path / "a.aedat").write_bytes(encoders.cochlea(EVENTS))
    found = json.loads(cli("encode", "a.aedat", "--json").out)
    assert found["shape"] == [4, 1, 1, 1, 9]
    spec = SampleSpec("events", (1, 1, 9), duration=791)
    assert SampleSpec.from_document(found["input"]) == spec
