"""The code of exact times, of images and of recordings."""

import math

import pytest
import torch

from asnn.coding import create_coding
from asnn.coding.samples import EventBatch, SampleSpec
from asnn.core import ConfigError, DataError
from tests.support.samples import recording

INF = math.inf


def test_a_pixel_fires_at_the_window_times_one_minus_its_value():
    x = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3)
    late = create_coding("times", steps=1, window=2.0, black="late").encode(x)
    silent = create_coding("times", steps=1, window=2.0).encode(x)
    assert late.dtype == torch.float64 and late.shape == (1, 1, 1, 1, 3, 1)
    assert late.flatten().tolist() == [2.0, 1.5, 0.0]
    assert silent.flatten().tolist() == [INF, 1.5, 0.0]


def test_images_are_decoded_and_spikes_counted():
    coding = create_coding("times", steps=1, window=3.0)
    x = torch.rand(4, 2, 3, 5, dtype=torch.float64)
    x[x < 0.3] = 0
    code = coding.encode(x)
    torch.testing.assert_close(coding.decode(code), x)
    assert coding.count_spikes(code).tolist() == (x > 0).flatten(1).sum(1).double().tolist()


@pytest.mark.parametrize("most", [None, 1, 2])
def test_each_address_of_a_recording_has_its_own_times(most):
    shape, duration = (2, 3, 4), 1_000
    recordings = [recording(40, shape, seed) for seed in range(3)]
    recordings.insert(1, recording(0, shape))
    batch = EventBatch.of(recordings, shape, duration)
    coding = create_coding("times", steps=1, window=5.0, most=most)
    coding.bind(SampleSpec("events", shape, duration=duration))
    code = coding.encode(batch)[0]
    for b, events in enumerate(recordings):
        for place in torch.cartesian_prod(*map(torch.arange, shape)).tolist():
            p, y, x = place
            own = (events.p == p) & (events.y == y) & (events.x == x)
            expected = [5.0 * t / duration for t in sorted(events.t[own].tolist())][:most]
            found = code[b, p, y, x]
            assert found[: len(expected)].tolist() == expected
            assert found[len(expected) :].isinf().all()


def test_recordings_without_events():
    batch = EventBatch.of([recording(0, (1, 2, 2))] * 2, (1, 2, 2), 9)
    code = create_coding("times", steps=1).encode(batch)
    assert code.shape == (1, 2, 1, 2, 2, 1) and code.isinf().all()


def test_a_hot_pixel_does_not_take_all_memory(monkeypatch):
    monkeypatch.setattr("asnn.coding.times.MAX_BYTES", 1_000)
    batch = EventBatch.of([recording(500, (1, 2, 2))], (1, 2, 2), 1_000)
    with pytest.raises(DataError, match="do not fit into 1 GiB") as error:
        create_coding("times", steps=1).encode(batch)
    assert "coding.most" in error.value.remedy
    create_coding("times", steps=1, most=3).encode(batch)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"steps": 4}, "coding.steps is 4"),
        ({"window": 0.0}, "window must be above 0"),
        ({"window": INF}, "window must be above 0"),
        ({"black": "never"}, "unknown value 'never' of black"),
        ({"most": 0}, "most must be 1 or more"),
    ],
)
def test_refusals(options, text):
    with pytest.raises(ConfigError, match=text):
        create_coding("times", **{"steps": 1, **options})
