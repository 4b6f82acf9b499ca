"""Events and series: augmentation is a function of seed, epoch and sample alone."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from asnn.coding.samples import EventBatch, SampleSpec
from asnn.datasets import Batches, Split, make_augment
from asnn.datasets.events import Events
from asnn.datasets.transforms.base import sample_generators
from tests.support.samples import recording

COUNT, SENSOR, DURATION, STEPS = 70, (2, 6, 7), 1_000, 9


@dataclass(frozen=True)
class Data:
    split: Split
    augment: object


def _events() -> Data:
    parts = [recording(20 + i, SENSOR, i, DURATION) for i in range(COUNT)]
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in "txyp"]
    count = np.array([len(part.t) for part in parts])
    held = Events(*columns, np.cumsum(count) - count, count, SENSOR, DURATION)
    spec = SampleSpec("events", SENSOR, duration=DURATION)
    options = {"flip": True, "shift": 2, "polarity_flip": True, "drop": 0.5, "stretch": 0.2}
    return Data(Split(held, torch.arange(COUNT)), make_augment(spec, options))


def _series() -> Data:
    x = torch.rand(COUNT, STEPS, 4, generator=torch.Generator().manual_seed(0))
    spec = SampleSpec("series", (4,), steps=STEPS)
    options = {"time_shift": 2, "noise": 0.1, "mask_time": 2, "mask_features": 1}
    labels = torch.arange(COUNT)[:, None].expand(-1, STEPS).clone()
    return Data(Split(x, labels), make_augment(spec, options))


DATA = {"events": _events(), "series": _series()}


def epoch_of(data: Data, *, seed=5, size=7, **options) -> dict[int, bytes]:
    """Return the bytes of each sample that an epoch yields, by its number in the split."""
    found: dict[int, bytes] = {}
    made = Batches(
        data.split,
        batch_size=size,
        full_scale=255.0,
        augment=data.augment,
        generator=torch.Generator().manual_seed(seed),
        **options,
    )
    for x, targets in made:
        labels = targets.first if targets.first.dim() == 1 else targets.first.amax(1)
        for i, number in enumerate(labels.tolist()):
            assert number not in found
            if isinstance(x, EventBatch):
                own = x.kept(x.sample == i)
                values = torch.stack([own.t, own.x, own.y, own.p])
            else:
                values = x[i]
            found[number] = values.numpy().tobytes()
    return found


@pytest.fixture(params=DATA)
def data(request) -> Data:
    return DATA[request.param]


@pytest.mark.parametrize("shuffle", [False, True])
def test_batch_sizes_do_not_matter(data, shuffle):
    expected = epoch_of(data, size=1, shuffle=shuffle)
    assert len(expected) == COUNT
    for size in (7, 64, 100):
        assert epoch_of(data, size=size, shuffle=shuffle) == expected


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_do_not_matter(data, processes):
    expected = epoch_of(data, size=14, shuffle=True)
    found: dict[int, bytes] = {}
    for rank in range(processes):
        found |= epoch_of(data, size=14, shuffle=True, part=(rank, processes))
    assert found == expected


@pytest.mark.parametrize("start", [1, 5, 9])
def test_a_resumed_epoch_has_the_same_samples(data, start):
    complete = epoch_of(data, shuffle=True)
    resumed = epoch_of(data, shuffle=True, start=start)
    assert len(resumed) == COUNT - 7 * start
    assert resumed == {number: complete[number] for number in resumed}


def test_another_seed_gives_other_samples(data):
    one, other = (epoch_of(data, seed=seed) for seed in (5, 6))
    assert sum(one[number] == other[number] for number in range(COUNT)) <= 2


def test_the_second_epoch_of_a_generator_gives_other_samples(data):
    made = Batches(
        data.split,
        batch_size=COUNT,
        full_scale=255.0,
        augment=data.augment,
        generator=torch.Generator().manual_seed(5),
    )
    (first, _), (second, _) = next(iter(made)), next(iter(made))
    if isinstance(first, EventBatch):
        first, second = first.t, second.t
    assert first.shape != second.shape or not torch.equal(first, second)


def test_equal_samples_at_other_places_change_differently():
    x = torch.rand(1, STEPS, 4).expand(COUNT, -1, -1)
    augment = DATA["series"].augment
    made = Batches(Split(x, torch.arange(COUNT)), batch_size=COUNT, full_scale=1.0, augment=augment)
    ((found, _),) = list(made)
    assert len({each.numpy().tobytes() for each in found}) == COUNT


class Lazy:
    """Recordings that are decoded at access; at the top, so that workers can unpickle it."""

    spec = SampleSpec("events", SENSOR, duration=DURATION)
    shape = (COUNT, *SENSOR)

    def __len__(self):
        return COUNT

    def __getitem__(self, index):
        return recording(20 + index, SENSOR, index, DURATION)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_workers_do_not_matter(workers):
    data = DATA["events"]
    lazy = Data(Split(Lazy(), torch.arange(COUNT)), data.augment)
    assert epoch_of(lazy, shuffle=True, workers=workers) == epoch_of(data, shuffle=True)


def test_generators_of_samples():
    def first(seed, samples):
        return [
            int(torch.randint(2**62, (), generator=each))
            for each in sample_generators(seed, torch.tensor(samples))
        ]

    assert first(3, [4, 0, 4]) == [*first(3, [4]), *first(3, [0]), *first(3, [4])]
    seen = first(3, range(500)) + first(4, range(500)) + first(2**61, range(500))
    assert len(set(seen)) == 1500
