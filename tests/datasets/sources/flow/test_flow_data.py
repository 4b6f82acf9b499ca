"""Windows of recordings as samples, with the flow that is known of them."""

import numpy as np
import pytest
import torch

from asnn.core import ConfigError, DataError
from asnn.datasets.base import Split, sample_at
from asnn.datasets.load import load_dataset
from asnn.datasets.motion import flow_at, measures
from asnn.datasets.sources.flow.nmnist import LENGTH, MOTIONS, WINDOWS
from asnn.datasets.splits import cut


def write_npz(path, recordings, seed, events=400):
    draw = np.random.default_rng(seed)
    t = np.sort(draw.integers(0, 320_000, (recordings, events)), 1).ravel()
    columns = {name: draw.integers(0, 34, len(t)) for name in "xy"}
    np.savez(
        path,
        t=t,
        **columns,
        p=draw.integers(0, 2, len(t)),
        offsets=np.arange(recordings + 1) * events,
        labels=np.arange(recordings) % 2,
    )
    return path


@pytest.fixture
def nmnist(tmp_path):
    return [write_npz(tmp_path / f"{name}.npz", 12, i) for i, name in enumerate(("a", "b"))]


def test_each_recording_has_a_window_in_each_movement(nmnist):
    data = load_dataset("flow-nmnist", path=str(nmnist[0]), test_path=str(nmnist[1]))
    assert data.target == "flow"
    assert data.spec.duration == LENGTH
    assert len(data.test) == 36
    source = np.load(nmnist[1])
    for index in (0, 1, 5):
        recording, window = divmod(index, 3)
        begin, end = WINDOWS[window]
        part = slice(recording * 400, recording * 400 + 400)
        inside = (source["t"][part] >= begin) & (source["t"][part] < end)
        found = sample_at(data.test, index)
        assert found.t.tolist() == (source["t"][part][inside] - begin).tolist()
        for name in "xyp":
            assert getattr(found, name).tolist() == source[name][part][inside].tolist()
        expected = torch.tensor(MOTIONS[window]) * 0.75  # of 100 ms
        assert torch.allclose(data.test.targets[index, :, 0, 0], expected)
    assert "pseudo truth" in data.notes[0]


def test_windows_of_a_recording_are_in_one_part(nmnist):
    data = load_dataset("flow-nmnist", path=str(nmnist[0]))
    parts = [set(split.ids.tolist()) for split in (data.train, data.validation, data.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 12
    for split in (data.train, data.validation, data.test):
        assert (split.ids.bincount(minlength=12)[split.ids] == 3).all()


def test_samples_of_one_group_stay_together_and_others_are_cut_as_before():
    inputs, labels = torch.arange(40.0).view(40, 1), torch.zeros(40, dtype=torch.int64)
    rest, part = cut(Split(inputs, labels, torch.arange(40) // 4), 0.25, 1)
    assert len(part) == 12  # 3 of 10 groups
    assert not set(rest.ids.tolist()) & set(part.ids.tolist())
    plain = cut(Split(inputs, labels), 0.25, 1)
    numbered = cut(Split(inputs, labels, torch.arange(40)), 0.25, 1)
    assert torch.equal(plain[1].inputs, numbered[1].inputs)


def test_a_test_path_goes_with_an_npz_only(tmp_path):
    with pytest.raises(ConfigError, match="data.test_path goes with an .npz"):
        load_dataset("flow-nmnist", path=str(tmp_path), test_path="b.npz")


@pytest.mark.slow
def test_simulated_events_sharpen_along_their_flow():
    data = load_dataset("flow-simulated", count=30, speed=5.0)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [30, 30, 30]
    found = data.train.inputs.batch(torch.arange(len(data.train)))
    flow = data.train.targets
    assert float(flow.flatten(1).norm(dim=1).max()) <= 5
    factors = (-1.0, 0.5, 0.8, 1.0, 1.25, 1.5)
    fwl = {
        factor: float(measures(found, flow_at(found, factor * flow), found.duration).fwl.mean())
        for factor in factors
    }
    assert max(fwl, key=fwl.__getitem__) == 1
    assert fwl[1.0] > 1.1
    assert fwl[-1.0] < 0.8
    again = load_dataset("flow-simulated", count=30, speed=5.0)
    assert again.fingerprint == data.fingerprint


@pytest.mark.slow
def test_simulated_events_are_of_images(tmp_path):
    with pytest.raises(ConfigError, match="lorenz"):
        load_dataset("flow-simulated", of="lorenz")
    with pytest.raises(ConfigError, match="speed is 0"):
        load_dataset("flow-simulated", speed=0.0)


def write_one(path, seed=0, events=3000, milliseconds=1010):
    draw = np.random.default_rng(seed)
    t = np.sort(draw.integers(0, 1000 * milliseconds, events)) + 77
    np.savez(path, t=t, x=draw.integers(0, 20, events), y=draw.integers(0, 12, events),
             p=draw.integers(0, 2, events), offsets=[0, events], labels=[0])  # fmt: skip
    return path


def test_a_recording_is_cut_in_time_and_its_parts_do_not_overlap(tmp_path):
    path = write_one(tmp_path / "one.npz")
    data = load_dataset("flow-events", path=str(path), window=50.0, size=[12, 20])
    assert [len(part) for part in (data.train, data.validation, data.test)] == [14, 2, 4]
    assert data.train.targets.isnan().all()
    assert data.spec.shape == (2, 12, 20)
    source = np.load(path)
    t = source["t"] - source["t"][0]
    found = sample_at(data.test, 0)  # the 17th window
    inside = (t >= 800_000) & (t < 850_000)
    assert found.t.tolist() == (t[inside] - 800_000).tolist()
    assert found.x.tolist() == source["x"][inside].tolist()
    assert "of the time" in data.notes[0]


def test_many_recordings_are_in_one_part_each(tmp_path):
    for i in range(5):
        write_one(tmp_path / f"{i}.npz", seed=i, milliseconds=200)
    data = load_dataset("flow-events", path=str(tmp_path), window=50.0, size=[12, 20])
    parts = (data.train, data.validation, data.test)
    assert [sorted(set(part.ids.tolist())) for part in parts] == [[0, 1, 2], [3], [4]]


def test_windows_of_a_number_of_events_are_stretched(tmp_path):
    path = write_one(tmp_path / "one.npz")
    options = {"path": str(path), "count": 250, "window": 10.0, "size": [12, 20]}
    data = load_dataset("flow-events", **options, downsample=2)
    assert data.spec.shape == (2, 6, 10)
    found = sample_at(data.train, 1)
    source = np.load(path)
    part = slice(250, 500)
    t = source["t"][part] - source["t"][250]
    assert len(found.t) == 250
    assert np.abs(found.t.numpy() - t * 10_000 / (t[-1] + 1)).max() <= 1
    assert found.t[0] == 0
    assert 9_900 <= int(found.t[-1]) < 10_000
    assert found.x.tolist() == (source["x"][part] // 2).tolist()


def test_recordings_without_windows_are_refused(tmp_path):
    path = write_one(tmp_path / "one.npz")
    with pytest.raises(DataError, match="too few windows for a train part"):
        load_dataset("flow-events", path=str(path), window=400.0)
    with pytest.raises(DataError, match="has no recordings"):
        (tmp_path / "empty").mkdir()
        load_dataset("flow-events", path=str(tmp_path / "empty"))
    with pytest.raises(ConfigError, match="count is 0"):
        load_dataset("flow-events", path=str(path), count=0)
