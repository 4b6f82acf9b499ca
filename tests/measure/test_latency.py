"""Time per image with a clock of the test, and implementations that predict differently."""

import numpy as np
import pytest
import torch

from asnn.measure import timing
from asnn.measure.latency import differing, time_each

SHAPE = (1, 4, 4)
IMAGES = torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def now(monkeypatch):
    """A clock that advances only by the implementations."""

    class Clock:
        seconds = 0.0

        def perf_counter(self):
            return self.seconds

        def process_time(self):
            return 0.0

    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    monkeypatch.setattr(timing, "_busy_seconds", lambda: None)
    return clock


@pytest.mark.slow
def test_seconds_are_those_of_one_image(now):
    seen = []

    def takes(seconds):
        def implementation(image):
            seen.append(image)
            now.seconds += seconds(image)

        return implementation

    implementations = {
        "even": takes(lambda image: 2.0),
        "by content": takes(lambda image: float(image.sum())),
    }
    found = time_each(implementations, IMAGES, rounds=3, visit=0)
    assert found.seconds["even"] == pytest.approx([2, 2, 2])
    assert found.seconds["by content"] == pytest.approx([float(IMAGES.sum()) / 5] * 3)
    assert {tuple(image.shape) for image in seen} == {(1, *SHAPE)}
    # Each one: three warm-up passes, and in each round one untimed and one timed pass.
    assert len(seen) == 2 * (3 + 3 * 2) * len(IMAGES)


def test_differing_predictions_are_counted():
    """`other` predicts another class for some images, and differs for exactly these."""

    def first(image):
        return torch.tensor([[0.0, 1.0]])

    def other(image):  # returns an array, like onnxruntime
        return np.array([[1.0, 0.0]] if image[0, 0, 0, 0] > 0.5 else [[0.0, 2.0]])

    expected = int((IMAGES[:, 0, 0, 0] > 0.5).sum())
    assert 0 < expected < len(IMAGES)
    implementations = {"first": first, "other": other}
    assert differing(implementations, IMAGES, base="first") == {"first": 0, "other": expected}


def test_random_codes_draw_the_same_for_all_and_the_random_state_is_kept():
    def random(image):
        return torch.rand(1, 1000)

    before = torch.get_rng_state()
    assert differing({"a": random, "b": random}, IMAGES, base="a") == {"a": 0, "b": 0}
    assert torch.equal(torch.get_rng_state(), before)
