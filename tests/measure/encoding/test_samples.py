"""Encoded recordings and series: figures equal a loop over values, batches make no difference."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.coding import create_coding
from asnn.coding.samples import EventBatch, SampleSpec
from asnn.core import ConfigError
from asnn.measure.encoding.comparison import encode_recording_with_each
from asnn.measure.encoding.samples import encode_samples
from tests.support.samples import batch_of, recording

EVENTS = SampleSpec("events", (2, 5, 7), duration=1_000)
SERIES = SampleSpec("series", (3,), steps=12)


def bound(name, spec=EVENTS, steps=4, **options):
    coding = create_coding(name, steps=steps, **options)
    coding.bind(spec)
    return coding


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("frames", {}),
        ("frames", {"value": "count"}),
        ("frames", {"bins": "count", "polarity": "signed"}),
        ("voxel", {}),
        ("time-surface", {}),
    ],
)
def test_figures_equal_a_loop_over_recordings(name, options):
    coding, batch = bound(name, **options), batch_of(EVENTS, 5)
    found = encode_samples(coding, [(part, None) for part in batch.split(2)], 5)
    assert torch.equal(found.code.float(), coding.encode(batch))
    assert found.code.dtype == (torch.float32 if coding.analog_steps else torch.uint8)
    for number, (one, each) in enumerate(zip(batch.split(1), found.each, strict=True)):
        values = coding.encode(one)[:, 0].flatten().tolist()
        assert each["events"] == len(one.t) == 50 + 10 * number
        assert each["sum"] == pytest.approx(sum(values), abs=1e-6)
        assert each["nonzero"] == pytest.approx(sum(v != 0 for v in values) / len(values))
        spikes = None if coding.analog_steps else sum(values)
        assert each["spikes"] == spikes
    figures = found.figures()
    assert figures["shape"] == list(found.code.shape) and figures["samples"] == 5
    assert figures["events_per_sample"] == (50 + 60 + 70 + 80 + 90) / 5
    assert figures["nonzero"] == pytest.approx(float((found.code != 0).double().mean()))
    assert "rmse" not in figures


def test_a_count_code_keeps_every_event_and_a_binary_one_does_not():
    """The negative control of the sums: binary frames merge events of a pixel and window."""
    batch = batch_of(EVENTS, 3)
    counted = encode_samples(bound("frames", value="count"), [(batch, None)], 3)
    assert [each["sum"] for each in counted.each] == batch.counts().tolist()
    binary = encode_samples(bound("frames"), [(batch, None)], 3)
    assert all(
        each["spikes"] < count
        for each, count in zip(binary.each, batch.counts().tolist(), strict=True)
    )


def test_the_first_sample_is_the_first_recording():
    batch = batch_of(EVENTS, 3)
    found = encode_samples(bound("frames"), [(batch, None)], 3).sample()
    assert len(found.sample) == 1 and len(found.sample.t) == 50
    assert torch.equal(found.steps, bound("frames").encode(batch)[:, 0])
    assert found.figures()["events"] == 50


@pytest.mark.parametrize("name", ["frames", "voxel", "time-surface"])
def test_codes_of_events_cannot_be_decoded_and_say_why(name):
    with pytest.raises(ConfigError) as caught:
        encode_samples(bound(name), [(batch_of(EVENTS, 1), None)], 1, decode=True)
    assert "does not keep the time" in caught.value.why


def test_given_series_are_decoded_exactly():
    x = batch_of(SERIES, 4)
    found = encode_samples(bound("given", SERIES, 12), [(x, None)], 4, decode=True).figures()
    assert (found["rmse"], found["greatest_error"]) == (0, 0)
    assert found["events_per_sample"] is None and found["spikes_per_sample"] is None
    assert found["sum_per_sample"] == pytest.approx(float(x.double().sum()) / 4)
    with pytest.raises(ConfigError, match="cannot be decoded") as caught:
        encode_samples(bound("given", SERIES, 3, fit="mean"), [(x, None)], 4, decode=True)
    assert "not keep all its steps" in caught.value.why


def test_targets_of_steps_are_those_of_the_windows():
    x = batch_of(SERIES, 2)
    labels = torch.arange(24).view(2, 12)
    coding = bound("given", SERIES, 4, fit="mean")
    found = encode_samples(coding, [(x, labels)], 2)
    assert found.targets.tolist() == [[2, 5, 8, 11], [14, 17, 20, 23]]
    classes = torch.tensor([1, 0])
    assert torch.equal(encode_samples(coding, [(x, classes)], 2).targets, classes)


def test_binary_series_are_spikes():
    spec = SampleSpec("series", (3,), steps=4, binary=True)
    x = (batch_of(SERIES, 2)[:, :4] > 0.5).float()
    found = encode_samples(bound("given", spec), [(x, None)], 2)
    assert found.code.dtype == torch.uint8
    assert [each["spikes"] for each in found.each] == x.flatten(1).sum(1).tolist()


def test_a_recording_in_several_codes():
    one = batch_of(EVENTS, 1)
    codes = {name: bound(name) for name in ("frames", "voxel")}
    found = encode_recording_with_each(one, codes, seed=0)
    for name, code in codes.items():
        assert torch.equal(found[name].steps, code.encode(one)[:, 0])
        assert found[name].figures()["events"] == 50


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(1, 4))
def test_empty_and_full_recordings(sizes, batch_size):
    spec = SampleSpec("events", (2, 3, 4), duration=1_000)
    recordings = [recording(count, spec.shape, i) for i, count in enumerate(sizes)]
    batch = EventBatch.of(recordings, spec.shape, spec.duration)
    coding = bound("frames", spec, value="count")
    found = encode_samples(coding, [(part, None) for part in batch.split(batch_size)], len(sizes))
    assert [each["events"] for each in found.each] == sizes
    assert [each["sum"] for each in found.each] == sizes
    assert np.isfinite(found.figures()["nonzero"])
