"""Balanced epochs: each class equally often, the same in any batches and processes."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.datasets import Batches
from asnn.datasets.base import Split
from asnn.datasets.order import balanced_order, shuffled_order

LABELS = torch.tensor([0] * 40 + [1] * 7 + [2] * 3)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 5))
def test_classes_are_drawn_equally_often_and_samples_of_a_class_too(labels, seed):
    targets = torch.tensor(labels)
    draws = balanced_order(targets, generator(seed))
    assert len(draws) == len(targets) == len(draws.unique())  # no draw twice
    samples = draws % len(targets)
    by_class = Counter(targets[samples].tolist())
    assert set(by_class) == set(labels)
    assert max(by_class.values()) - min(by_class.values()) <= 1
    times = Counter(samples.tolist())
    for label in set(labels):
        of_class = [times[i] for i, each in enumerate(labels) if each == label]
        assert max(of_class) - min(of_class) <= 1
        for index in (i for i, each in enumerate(labels) if each == label):
            # The r-th time of a sample is the draw index + r N, r = 0, 1, ...
            rounds = sorted((draws[samples == index] // len(targets)).tolist())
            assert rounds == list(range(times[index]))


def test_the_order_depends_on_the_generator_alone_and_changes_with_it():
    one, again, other = (balanced_order(LABELS, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_shuffling_draws_each_sample_once():
    assert shuffled_order(LABELS, generator()).sort().values.tolist() == list(range(len(LABELS)))


def draws_of(**options):
    split = Split(torch.arange(50, dtype=torch.float32)[:, None, None, None] / 50, LABELS)
    batches = Batches(
        split, full_scale=1, shuffle=True, order=balanced_order, generator=generator(), **options
    )
    found = list(batches)
    for x, targets in found:
        index = targets.samples % 50
        assert torch.equal(LABELS[index], targets.first)
        assert torch.equal((x.flatten() * 50).round().long(), index)
    return [targets.samples.tolist() for _, targets in found]


def test_an_epoch_does_not_depend_on_batches_processes_and_where_it_is_resumed():
    whole = draws_of(batch_size=10)
    flat = [each for batch in whole for each in batch]
    assert len(flat) == 50
    assert [each for batch in draws_of(batch_size=25) for each in batch] == flat
    assert draws_of(batch_size=10, start=3) == whole[3:]
    parts = [draws_of(batch_size=10, part=(rank, 2)) for rank in (0, 1)]
    assert [a + b for a, b in zip(*parts, strict=True)] == whole


@pytest.mark.parametrize("order", [shuffled_order, balanced_order])
def test_one_sample_is_an_epoch(order):
    assert order(torch.tensor([3]), generator()).tolist() == [0]
