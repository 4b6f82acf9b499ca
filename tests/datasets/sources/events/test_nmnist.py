"""N-MNIST in its published layout: folders and zips, in memory and lazy, and invalid files."""

import pickle
import shutil
import zipfile

import numpy as np
import pytest
import torch

from asnn.core import ConfigError, DataError
from asnn.datasets import Batches, load_dataset
from asnn.datasets.base import fingerprint
from asnn.datasets.events import Events
from asnn.datasets.sources.events.decode import Decoder, LazyRecordings
from asnn.datasets.sources.events.nmnist import load_nmnist
from tests.formats.events import encoders


def random_events(seed, count=20):
    """Return (t, x, y, p) sorted by time, which does not begin at 0."""
    random = np.random.default_rng(seed)
    times = np.sort(random.integers(600, 330_000, count))
    columns = times, *random.integers(0, 34, (2, count)), random.integers(0, 2, count)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.fixture
def published(tmp_path):
    """Three recordings a digit for training, one for testing: (folder, events by path)."""
    root, events = tmp_path / "nmnist", {}
    for part, numbers in (("Train", (2, 10, 7)), ("Test", (1,))):
        for digit in range(10):
            folder = root / part / str(digit)
            folder.mkdir(parents=True)
            for number in numbers:
                name = f"{part}/{digit}/{digit * 100 + number:05}.bin"
                events[name] = random_events((digit, number), 20 + digit + number)
                (root / name).write_bytes(encoders.nmnist(events[name]))
    return root, events


def zipped(root, target, *, inside=""):
    target.mkdir()
    for part in ("Train", "Test"):
        with zipfile.ZipFile(target / f"{part}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted((root / part).rglob("*.bin")):
                archive.write(file, f"{inside}{file.relative_to(root).as_posix()}")
            archive.writestr("__MACOSX/Train/0/._00002.bin", b"x")
    return target


def rows(recording):
    columns = (recording.t, recording.x, recording.y, recording.p)
    return list(zip(*(np.asarray(column).tolist() for column in columns), strict=True))


def all_rows(split):
    if isinstance(split.inputs, Events):
        batch = split.inputs.batch(torch.arange(len(split)))
        return [rows(batch.kept(batch.sample == i)) for i in range(len(split))]
    return [rows(split.inputs[i]) for i in range(len(split))]


def test_the_published_layout(published):
    root, events = published
    source = load_nmnist(path=str(root))
    assert source.classes == [str(digit) for digit in range(10)]
    assert source.spec.document() == {"kind": "events", "shape": [2, 34, 34], "duration": 340_000}
    assert source.train.targets.tolist() == [digit for digit in range(10) for _ in range(3)]
    assert source.test.targets.tolist() == list(range(10))
    # In the order of the numbers of the files; times as in the files.
    assert all_rows(source.train) == [events[name] for name in sorted(events) if "Train" in name]
    assert all_rows(source.test) == [events[name] for name in sorted(events) if "Test" in name]


def test_events_in_memory_take_seven_bytes(published):
    """Times of 4 bytes, and x, y, p of one each."""
    held = load_nmnist(path=str(published[0])).train.inputs
    assert sum(getattr(held, name).itemsize for name in "txyp") == 7


@pytest.mark.parametrize("inside", ["", "N-MNIST/"])
def test_zips_equal_folders(published, tmp_path, inside):
    root, _ = published
    archives = zipped(root, tmp_path / "archives", inside=inside)
    for options in ({}, {"memory_limit": 0}):
        folders, found = (load_nmnist(path=str(each), **options) for each in (root, archives))
        for part in ("train", "test"):
            a, b = getattr(folders, part), getattr(found, part)
            assert all_rows(a) == all_rows(b) and torch.equal(a.targets, b.targets)
    assert sorted(file.name for file in archives.iterdir()) == ["Test.zip", "Train.zip"]


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_lazy_recordings_equal_those_in_memory(published, tmp_path, workers):
    path = str(zipped(published[0], tmp_path / "archives"))
    held, lazy = (
        load_dataset("nmnist", path=path, memory_limit=limit, validation=0.4) for limit in (1.0, 0)
    )
    assert isinstance(held.train.inputs, Events) and held.spec == lazy.spec
    for part in ("train", "validation", "test"):
        a, b = held.split(part), lazy.split(part)
        assert all_rows(a) == all_rows(b) and torch.equal(a.targets, b.targets)
    batches = [
        list(Batches(data.train, batch_size=4, full_scale=255, workers=count))
        for data, count in ((held, 0), (lazy, workers))
    ]
    for (x, _), (y, _) in zip(*batches, strict=True):
        assert rows(x) == rows(y) and torch.equal(x.sample, y.sample) and len(x) == len(y)


def test_lazy_recordings_are_pickled_and_known_by_the_listing(published, monkeypatch):
    root, events = published
    split = load_nmnist(path=str(root), memory_limit=0).train
    assert isinstance(split.inputs, LazyRecordings)
    assert split.inputs.shape == (30, 2, 34, 34)
    copied = pickle.loads(pickle.dumps(split.inputs))
    assert rows(copied[3]) == rows(split.inputs[3])
    assert copied.identity(3) == split.inputs.identity(3)
    assert split.inputs.identity(3).startswith(
        f"1/00102.bin {5 * len(events['Train/1/00102.bin'])}"
    )

    def refuse(self, name):
        raise AssertionError("decoded")

    def of(**options):
        return fingerprint(load_nmnist(path=str(root), memory_limit=0, **options).train)

    with monkeypatch.context() as patched:
        patched.setattr(Decoder, "recording", refuse)
        before = fingerprint(split)
    assert of() == before
    assert of(duration=300.0) != before
    (root / "Train/3/00302.bin").write_bytes(encoders.nmnist(random_events(0, 50)))
    assert of() != before


def test_missing_parts_and_digits(published):
    root, _ = published
    shutil.rmtree(root / "Train/7")
    with pytest.raises(DataError, match="no recordings of the digit 7"):
        load_nmnist(path=str(root))
    shutil.rmtree(root / "Test")
    shutil.copytree(root / "Train/6", root / "Train/7")
    with pytest.raises(DataError, match="there is no Test in ") as caught:
        load_nmnist(path=str(root))
    assert "Test.zip" in caught.value.why


@pytest.mark.parametrize("limit", [1.0, 0])
@pytest.mark.parametrize(
    ("content", "what", "why"),
    [
        (encoders.nmnist([(5, 1, 2, 1)])[:-1], "is not a readable N-MNIST file", "4 of 5 bytes"),
        (encoders.nmnist([(5, 34, 2, 1)]), "outside a sensor of 34x34", "x = 34, y = 2"),
        (b"", "is empty", ""),
    ],
)
def test_an_invalid_recording_is_refused_by_name(published, limit, content, what, why):
    root, _ = published
    (root / "Train/4/00407.bin").write_bytes(content)
    with pytest.raises(DataError, match=what) as caught:
        source = load_nmnist(path=str(root), memory_limit=limit)
        list(Batches(source.train, batch_size=8, full_scale=255))
    assert "Train/4/00407.bin" in caught.value.what
    assert why in caught.value.why


def test_a_cut_zip(published, tmp_path):
    archives = zipped(published[0], tmp_path / "archives")
    content = (archives / "Test.zip").read_bytes()
    (archives / "Test.zip").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"Test\.zip ends too early"):
        load_nmnist(path=str(archives))


def test_wrong_duration(published):
    with pytest.raises(ConfigError, match="duration is 0 ms"):
        load_nmnist(path=str(published[0]), duration=0)


@pytest.mark.slow
def test_published_recordings(needs, tmp_path):
    """The figures of one recording in the data's description, and SLAYER's copy of three."""
    data = needs("events/tonic_sample_nmnist.bin", "nmnist_small")
    files = [data / "events/tonic_sample_nmnist.bin"]
    files += [data / f"nmnist_small/{number}.bs2" for number in (1, 2, 60001)]
    for part in ("Train", "Test"):
        for digit in range(10):
            (tmp_path / part / str(digit)).mkdir(parents=True)
            for file in files[:1] if digit else files:
                shutil.copy(file, tmp_path / part / str(digit) / f"{file.stem}.bin")
    held = load_nmnist(path=str(tmp_path)).train.inputs
    batch = held.batch(torch.tensor([3]))  # after 1, 2, 60001
    assert len(batch.t) == 4_325 and batch.t[[0, -1]].tolist() == [654, 311_175]
    assert float(batch.p.double().mean()) == pytest.approx(0.4960, abs=5e-5)
    packed = np.load(data / "nmnist_small/nmnist_small_train.npz")
    for index, number in ((0, 1), (1, 2)):
        k = int(np.flatnonzero(packed["sample_id"] == number)[0])
        part = slice(packed["offsets"][k], packed["offsets"][k + 1])
        batch = held.batch(torch.tensor([index]))
        for name in "txyp":
            np.testing.assert_array_equal(getattr(batch, name), packed[name][part])
