"""A training augments the kind of samples of its data."""

import numpy as np
import pytest
import torch

from asnn.core.errors import ConfigError
from asnn.learning import check_recipe
from asnn.learning.training import prepare, training_batches
from asnn.records.layout import Run


@pytest.fixture
def recipe(tmp_path):
    """Return a function that makes a recipe on forty recordings of a sensor of 9x7 pixels."""
    random, count, each = np.random.default_rng(0), 40, 30
    arrays = {
        "t": np.sort(random.integers(0, 1_000, (count, each))).ravel(),
        "x": random.integers(0, 7, count * each),
        "y": random.integers(0, 9, count * each),
        "p": random.integers(0, 2, count * each),
        "offsets": each * np.arange(count + 1),
        "labels": np.arange(count) % 2,
    }
    np.savez(tmp_path / "a.npz", **arrays)

    def make(**augment):
        return check_recipe(
            {
                "data": {"name": "events-npz", "path": str(tmp_path / "a.npz"), "size": [9, 7]},
                "coding": {"name": "frames", "steps": 3},
                "model": {"name": "mlp", "features": [4]},
                "train": {"batch_size": 8, "device": "cpu"},
                "augment": augment,
            }
        )

    return make


def events(training):
    return [(x.t, x.x, x.sample) for x, _ in training_batches(training)]


def same(one, other) -> bool:
    return all(
        all(map(torch.equal, a, b)) if a[0].shape == b[0].shape else False
        for a, b in zip(one, other, strict=True)
    )


def test_recordings_are_a_function_of_seed_epoch_and_batch(recipe, tmp_path):
    training = prepare(recipe(shift=2, drop=0.5, mix=True), Run(tmp_path))
    first = events(training)
    assert same(events(training), first)
    training.progress.batch = 2
    assert same(events(training), first[2:])
    training.progress.batch, training.progress.epoch = 0, 1
    assert not same(events(training), first)
    plain = prepare(recipe(), Run(tmp_path))
    assert not same(events(plain), first)


def test_the_samples_must_fit(recipe, tmp_path):
    with pytest.raises(ConfigError, match="augment.shift is 7, the shorter side of the sensor 7"):
        prepare(recipe(shift=7), Run(tmp_path))
