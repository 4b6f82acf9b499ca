"""Samples in exact times, and their figures."""

import math

import pytest
import torch

from asnn.coding import create_coding
from asnn.coding.samples import EventBatch, SampleSpec
from asnn.core import ConfigError
from asnn.measure.encoding.times import encode_times, times_of
from tests.support.samples import recording

SHAPE, DURATION = (2, 3, 4), 1_000


def coding(kind="image", **options):
    code = create_coding("times", steps=1, **options)
    code.bind(SampleSpec(kind, SHAPE, duration=DURATION if kind == "events" else None))
    return code


def test_the_figures_of_an_image():
    image = torch.zeros(SHAPE)
    image[0, 0, :3] = torch.tensor([1.0, 0.75, 0.5])
    found = times_of(coding(window=2.0), image)
    assert found.counts().sum() == 3 and found.first()[0, 0, :3].tolist() == [0.0, 0.5, 1.0]
    assert found.figures() == {
        "events": None,
        "spikes": 3,
        "addresses": 24,
        "silent": 21,
        "first_spike": 0.5,
        "last_spike": 1.0,
        "rmse": 0.0,
        "greatest_error": 0.0,
        "psnr_db": None,
        "exact": True,
    }
    nothing = times_of(coding(), torch.zeros(SHAPE)).figures()
    assert (nothing["silent"], nothing["first_spike"], nothing["last_spike"]) == (24, None, None)


def test_the_figures_of_a_recording():
    events = EventBatch.of([recording(40, SHAPE)], SHAPE, DURATION)
    found = times_of(coding("events", window=3.0), events)
    figures = found.figures()
    assert figures["events"] == figures["spikes"] == 40
    assert figures["last_spike"] == pytest.approx(3.0 * int(events.t.max()) / DURATION)
    assert found.decoded is None and figures["exact"] is None


def test_many_images_are_those_of_each():
    images = torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(0))
    images[images < 0.5] = 0
    batches = [(images[:2], torch.tensor([0, 1])), (images[2:], torch.tensor([2, 0, 1]))]
    found = encode_times(coding(), batches, decode=True)
    each = [times_of(coding(), image).figures() for image in images]
    figures = found.figures()
    assert figures["shape"] == [1, 5, *SHAPE, 1] and figures["samples"] == 5
    assert figures["spikes_per_sample"] == sum(one["spikes"] for one in each) / 5
    assert figures["silent"] == pytest.approx(sum(one["silent"] for one in each) / (5 * 24))
    assert figures["last_spike"] == max(one["last_spike"] for one in each)
    assert figures["rmse"] == figures["greatest_error"] == 0
    assert found.targets.tolist() == [0, 1, 2, 0, 1] and found.events is None
    torch.testing.assert_close(torch.from_numpy(found.times.dense()), coding().encode(images))
    torch.testing.assert_close(found.first.times, coding().encode(images[:1])[0, 0])


def test_many_recordings_have_places_for_the_most_spikes_of_an_address():
    batches = [EventBatch.of([recording(n, SHAPE, n)], SHAPE, DURATION) for n in (0, 70, 5)]
    code = coding("events")
    found = encode_times(code, [(x, None) for x in batches])
    most = max(code.encode(x).isfinite().sum(-1).max() for x in batches)
    assert found.times.shape == (1, 3, *SHAPE, most) and found.targets is None
    figures = found.figures()
    assert figures["events_per_sample"] == figures["spikes_per_sample"] == 25
    assert math.isclose(figures["silent"], 1 - len(found.times.counts()) / 72)


def test_recordings_cannot_be_decoded():
    batch = EventBatch.of([recording(9, SHAPE)], SHAPE, DURATION)
    with pytest.raises(ConfigError, match="'times' of recordings cannot be decoded") as caught:
        encode_times(coding("events"), [(batch, None)], decode=True)
    assert caught.value.remedy == "leave --decode out"
