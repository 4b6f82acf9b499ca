"""The study of the hybrid network: its cuts, its control, and one small run of each row."""

import sys

import numpy as np
import pytest
import torch

from asnn.datasets.events import Events
from asnn.models import create_model
from studies.systems import hybrid

DURATION, SENSOR = 120_000, (2, 8, 8)


def recordings(number=4, events=60):
    random = np.random.default_rng(0)
    shape = (number, events)
    start = np.arange(number) * events
    return Events(
        np.sort(random.integers(0, DURATION + 9_000, shape), 1).reshape(-1),
        *(random.integers(0, size, shape).reshape(-1) for size in (8, 8, 2)),
        start,
        np.full(number, events),
        SENSOR,
        DURATION,
    )


def network(steps, **options):
    torch.manual_seed(0)
    sample = {"kind": "events", "shape": list(SENSOR), "duration": DURATION}
    return create_model(
        "hybrid", in_shape=SENSOR, classes=3, coding="frames", steps=steps, sample=sample,
        backbone=[4], convs=[5], hidden=[], **options,
    ).eval()  # fmt: skip


def test_the_control_moves_whole_windows_and_nothing_else():
    events = recordings()
    other = hybrid.shuffled(events, 12, seed=1)

    width = DURATION // 12
    late = 0
    for start, count in zip(events.start, events.count, strict=True):
        own, new = (
            [getattr(each, name)[start : start + count] for name in "xypt"]
            for each in (events, other)
        )
        assert (np.diff(new[3]) >= 0).all()
        # Each event has its place and its time within a window; late ones stay where they are.
        kept = [np.stack([*each[:3], each[3] % width], 1) for each in (own, new)]
        assert sorted(map(tuple, kept[0])) == sorted(map(tuple, kept[1]))
        late += int((own[3] >= DURATION).sum())
        assert (own[3] >= DURATION).sum() == (new[3] >= DURATION).sum()
    assert late and not np.array_equal(events.t, other.t)
    with pytest.raises(ValueError, match="7 windows do not divide"):
        hybrid.shuffled(events, 7, seed=1)


@torch.no_grad()
def test_one_frame_cannot_see_it_and_spikes_can():
    events = recordings()
    indices = torch.arange(len(events))
    own, new = (each.batch(indices) for each in (events, hybrid.shuffled(events, 12, seed=1)))
    counts = {"coding_options": {"value": "log-count"}, "neuron": "relu"}
    one = network(1, **counts)
    assert torch.equal(one(own), one(new))
    spiking = network(12, windows=3, neuron_options={"threshold": 0.2})
    assert not torch.allclose(spiking(own), spiking(new))


@pytest.fixture
def source(tmp_path):
    """A folder of data sets with random recordings."""
    folder = tmp_path / "data" / "nmnist_small"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name, number in (("train", 40), ("test", 20)):
        size = number * 50
        np.savez(
            folder / f"nmnist_small_{name}.npz",
            t=np.sort(random.integers(0, 315_000, (number, 50)), 1).reshape(-1),
            x=random.integers(0, 34, size),
            y=random.integers(0, 34, size),
            p=random.integers(0, 2, size),
            offsets=np.arange(number + 1) * 50,
            labels=np.arange(number) % 10,
        )
    return folder


def test_the_first_cut_is_that_of_the_files_and_others_are_drawn(source, tmp_path):
    own, other = (np.load(hybrid.cut_of(source, tmp_path, cut) / "test.npz") for cut in (0, 1))
    files = np.load(source / "nmnist_small_test.npz")
    assert all(np.array_equal(own[key], files[key]) for key in ("t", "x", "y", "p", "labels"))
    assert not np.array_equal(own["x"], other["x"]) and len(other["labels"]) == 20
    trained = np.load(tmp_path / "cut-1" / "train.npz")
    x = [np.load(source / f"nmnist_small_{name}.npz")["x"] for name in ("train", "test")]
    assert np.array_equal(
        np.sort(np.concatenate([trained["x"], other["x"]])), np.sort(np.concatenate(x))
    )


def test_the_table_has_means_and_what_is_not_there():
    found = {
        "parameters": 7, "accuracy": 0.5, "accuracies": [0.25, 0.5], "accumulates": 2000,
        "multiply_accumulates": 10, "picojoules": None, "bits": 1200, "shuffled": 0.25,
    }  # fmt: skip
    cuts = [found, {**found, "accuracy": 1.0, "accuracies": [0.75, 1.0]}]
    line = hybrid.table({"hybrid": cuts}).splitlines()[-1]
    cells = "hybrid | 7 | 50, 100 | 75.0 | 50.0, 75.0 | 2.00 k | 10.0 | 1.20 kbit | – | 25.0"
    assert line == f"| {cells} |"


@pytest.mark.slow
def test_a_row_is_trained_and_the_control_sees_nothing_in_one_frame(
    source, tmp_path, monkeypatch, capsys
):
    small = ("train.epochs=1", "model.backbone=[4]", "model.convs=[4]", "model.hidden=[4]")
    changes = [word for each in small for word in ("--set", each)]
    words = [tmp_path / "out", "--data-dir", source.parent, "--cuts", "1", "--only", "ann-1"]
    monkeypatch.setattr(sys, "argv", ["hybrid", *map(str, words), *changes])

    hybrid.main()

    line = capsys.readouterr().out.splitlines()[-1].split("|")
    assert line[1].strip() == hybrid.ROWS["ann-1"][0]
    assert float(line[4]) == float(line[10]) and line[8].strip() == "–"
