"""The points of the Yin-Yang sign."""

import numpy as np
import pytest

from asnn.core import ConfigError
from asnn.datasets import load_dataset
from asnn.datasets.sources.images.yin_yang import class_of


def test_samples_are_the_points_of_their_class():
    data = load_dataset("yin-yang", samples=300, validation_samples=30, test_samples=60)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [300, 30, 60]
    for part in (data.train, data.validation, data.test):
        x = part.inputs.double().numpy()[:, 0, 0]
        np.testing.assert_allclose(x[:, 2:4], 1 - x[:, :2], atol=1e-7)
        assert (x[:, 4] == 1).all()
        assert class_of(x[:, 0], x[:, 1]).tolist() == part.targets.tolist()
        assert np.bincount(part.targets).tolist() == [len(part) // 3] * 3
    seen = {tuple(row) for row in data.train.inputs[:, 0, 0].tolist()}
    assert not seen & {tuple(row) for row in data.test.inputs[:, 0, 0].tolist()}


def test_half_a_turn_swaps_yin_and_yang():
    x, y = np.random.default_rng(0).random((2, 2_000))
    swapped = np.array([1, 0, 2, -1])[class_of(x, y)]
    assert (class_of(1 - x, 1 - y) == swapped).mean() > 0.999  # but on the borders
    assert set(np.unique(swapped)) == {-1, 0, 1, 2}


def test_a_seed_gives_the_same_points():
    one, same, other = (load_dataset("yin-yang", samples=9, seed=seed) for seed in (1, 1, 2))
    assert one.fingerprint == same.fingerprint != other.fingerprint


@pytest.mark.parametrize("options", [{"samples": 2}, {"test_samples": 0}, {"seed": -1}])
def test_refusals(options):
    with pytest.raises(ConfigError, match=f"data.{next(iter(options))} must be"):
        load_dataset("yin-yang", **options)
