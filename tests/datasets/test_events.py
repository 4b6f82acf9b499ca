"""Data sets of events: batches, splits, fingerprint and resumption, as of images."""

import numpy as np
import pytest
import torch

from asnn.coding.samples import EventBatch, SampleSpec
from asnn.datasets import Batches, Source, Split, dataset_registry, load_dataset
from asnn.datasets.base import fingerprint
from asnn.datasets.events import Events
from asnn.datasets.splits import cut, subset, take
from tests.support.samples import recording

SENSOR, DURATION = (2, 4, 5), 1_000
COUNTS = [12, 0, 30, 7, 1, 19, 5, 5, 8, 13, 21, 3]
LABELS = torch.tensor([0, 1] * 6)


def events(counts=COUNTS, seed=0) -> tuple[Events, list]:
    parts = [recording(n, SENSOR, (seed, i)) for i, n in enumerate(counts)]
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in "txyp"]
    count = np.array(counts)
    return Events(*columns, np.cumsum(count) - count, count, SENSOR, DURATION), parts


def same(batch: EventBatch, parts) -> bool:
    expected = EventBatch.of(parts, SENSOR, DURATION)
    return all(
        torch.equal(getattr(batch, name), getattr(expected, name)) for name in "txyp"
    ) and torch.equal(batch.sample, expected.sample)


def test_a_batch_has_the_events_of_its_recordings():
    held, parts = events()
    chosen = [5, 1, 0, 5]
    batch = held.batch(torch.tensor(chosen))
    assert len(batch) == 4
    assert same(batch, [parts[i] for i in chosen])
    assert batch.counts().tolist() == [19, 0, 12, 19]
    assert same(held.take(torch.tensor(chosen)).batch(torch.tensor([2])), [parts[0]])


def test_a_batch_is_split_as_a_tensor_is():
    held, parts = events()
    batch = held.batch(torch.arange(7))
    found = batch.split(3)
    assert [len(each) for each in found] == [3, 3, 1]
    for first, each in zip((0, 3, 6), found, strict=True):
        assert same(each, parts[first : first + len(each)])


class Lazy:
    """Recordings that are decoded at access."""

    spec = SampleSpec("events", SENSOR, duration=DURATION)

    def __init__(self, parts):
        self.parts, self.shape = parts, (len(parts), *SENSOR)

    def __len__(self):
        return len(self.parts)

    def __getitem__(self, index):
        return self.parts[index]

    def identity(self, index):
        return f"recording {index}"


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_lazy_recordings_give_the_batches_of_those_in_memory(workers):
    held, parts = events()
    options = {"batch_size": 5, "full_scale": 255.0, "shuffle": True, "workers": workers}
    batches = [
        list(Batches(split, generator=torch.Generator().manual_seed(3), **options))
        for split in (Split(held, LABELS), Split(Lazy(parts), LABELS))
    ]
    for (a, x), (b, y) in zip(*batches, strict=True):
        assert same(a, [parts[i] for i in _numbers(a, parts)])
        assert all(torch.equal(getattr(a, name), getattr(b, name)) for name in "txyp")
        assert torch.equal(a.sample, b.sample)
        assert torch.equal(x.first, y.first)


def _numbers(batch: EventBatch, parts) -> list[int]:
    """Find the recordings of a batch by their events."""
    found = []
    for i in range(len(batch)):
        alone = batch.kept(batch.sample == i)
        found += [
            number
            for number, part in enumerate(parts)
            if len(part.t) == len(alone.t) and (part.x == alone.x.numpy()).all()
        ][:1]
    return found


def test_a_resumed_epoch_yields_the_same_batches():
    held, _ = events()
    options = {"batch_size": 5, "full_scale": 255.0, "shuffle": True}

    def batches(start):
        generator = torch.Generator().manual_seed(7)
        return list(Batches(Split(held, LABELS), generator=generator, start=start, **options))

    for (a, _), (b, _) in zip(batches(0)[1:], batches(1), strict=True):
        assert torch.equal(a.t, b.t) and torch.equal(a.sample, b.sample)


def test_cuts_are_stratified_and_disjoint():
    held, _ = events()
    kept, removed = cut(Split(held, LABELS), 0.34, 1)
    assert removed.targets.bincount().tolist() == [2, 2]
    starts = {*kept.inputs.start.tolist()} | {*removed.inputs.start.tolist()}
    assert len(kept) == 8 and len(starts) >= len(set(held.start.tolist()))
    assert len(subset(Split(held, LABELS), 4)) == 4


def test_samples_without_one_class_are_of_one_stratum():
    for targets in (torch.randint(3, (12, 7)), torch.rand(12), torch.rand(12, 2)):
        held, _ = events()
        kept, removed = cut(Split(held, targets), 0.25, 1)
        assert (len(kept), len(removed)) == (9, 3)


def test_the_fingerprint_depends_on_every_event():
    held, _ = events()
    found = {fingerprint(Split(held, LABELS))}
    assert {fingerprint(Split(events()[0], LABELS))} == found
    for name in "txyp":
        changed = {each: getattr(held, each).copy() for each in "txyp"}
        changed[name][17] ^= 1
        other = Events(**changed, start=held.start, count=held.count, sensor=SENSOR, duration=9)
        found.add(fingerprint(Split(other, LABELS)))
    found.add(fingerprint(Split(held, 1 - LABELS)))
    order = torch.arange(12).flip(0)
    found.add(fingerprint(take(Split(held, LABELS), order)))
    assert len(found) == 7


def test_a_loader_of_events_becomes_a_data_set(monkeypatch):
    held, _ = events()

    def load() -> Source:
        spec = SampleSpec("events", SENSOR, duration=DURATION)
        return Source(Split(held, LABELS), None, ["a", "b"], spec=spec)

    monkeypatch.setattr(dataset_registry, "get", lambda name: load)
    data = load_dataset("dvs")
    assert data.spec.kind == "events" and data.in_shape == SENSOR
    assert data.moments() is None
    assert sum(map(len, (data.train, data.validation, data.test))) == 12
