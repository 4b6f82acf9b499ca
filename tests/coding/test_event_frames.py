"""Codes of events, compared with loops over single events."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.coding import create_coding
from asnn.coding.samples import EventBatch, SampleSpec
from asnn.coding.selection import selected
from asnn.core import ConfigError

HEIGHT, WIDTH, DURATION = 4, 5, 1_000
SPEC = SampleSpec("events", (2, HEIGHT, WIDTH), duration=DURATION)


def recording(count, seed, duration=DURATION):
    random = np.random.default_rng(seed)
    return SimpleNamespace(
        t=np.sort(random.integers(0, duration, count)),
        x=random.integers(0, WIDTH, count),
        y=random.integers(0, HEIGHT, count),
        p=random.integers(0, 2, count),
    )


def batch(*recordings):
    return EventBatch.of(recordings, SPEC.shape, DURATION)


def events_of(recording):
    return zip(*(getattr(recording, name).tolist() for name in "txyp"), strict=True)


RECORDINGS = [recording(60, 0), recording(0, 1), recording(7, 2)]


def counted(recordings, steps, channel, sign, window):
    """Return counts `[T, B, P, H, W]` event by event."""
    channels = 2 if channel(1) else 1
    code = np.zeros((steps, len(recordings), channels, HEIGHT, WIDTH))
    for b, each in enumerate(recordings):
        for rank, (t, x, y, p) in enumerate(events_of(each)):
            k = window(t, rank, len(each.t))
            if k is not None:
                code[k, b, channel(p), y, x] += sign(p)
    return code


CHANNEL = {"two": lambda p: p, "signed": lambda p: 0, "off": lambda p: 0}
SIGN = {"two": lambda p: 1, "signed": lambda p: 2 * p - 1, "off": lambda p: 1}
VALUE = {
    "binary": np.sign,
    "count": lambda n: n,
    "log-count": lambda n: np.sign(n) * np.log1p(np.abs(n)),
}


@pytest.mark.parametrize("value", VALUE)
@pytest.mark.parametrize("polarity", CHANNEL)
@pytest.mark.parametrize("bins", ["time", "count"])
def test_frames(bins, polarity, value):
    steps = 3
    code = create_coding("frames", steps=steps, bins=bins, polarity=polarity, value=value)
    code.bind(SPEC)

    def window(t, rank, count):
        return math.floor(steps * (t / DURATION if bins == "time" else rank / count) + 1e-12)

    expected = VALUE[value](counted(RECORDINGS, steps, CHANNEL[polarity], SIGN[polarity], window))
    found = code.encode(batch(*RECORDINGS))
    assert found.shape == (steps, 3, *code.step_shape(SPEC))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("bins", ["time", "count"])
@pytest.mark.parametrize("frames", ["first", "last", "spread"])
def test_steps_that_are_some_of_the_windows(bins, frames):
    """T of N windows: the same frames as those of the code of all N, also of the last one."""
    options = {"bins": bins, "value": "count", "late": "last-bin"}
    whole = create_coding("frames", steps=10, **options)
    code = create_coding("frames", steps=3, windows=10, frames=frames, **options)
    for each in (whole, code):
        each.bind(SPEC)
    steps = {"first": [0, 1, 2], "last": [7, 8, 9], "spread": [1, 5, 8]}[frames]
    events = batch(*RECORDINGS)
    assert torch.equal(code.encode(events), whole.encode(events)[steps])
    assert code.whole() == {"steps": 10, "windows": None}
    # Negative control: three windows of the whole recording are other frames.
    three = create_coding("frames", steps=3, **options)
    three.bind(SPEC)
    assert not torch.equal(three.encode(events), code.encode(events))


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(0, 60), st.sampled_from(["first", "last", "spread"]))
def test_selected_windows(steps, more, selection):
    """T different ones of N, ascending; spread, each is the middle of its part."""
    total = steps + more
    found = selected(selection, steps, total)
    assert len(found) == steps and sorted(set(found)) == found and 0 <= found[0] <= found[-1]
    assert found[-1] < total
    if selection == "spread":
        assert all(abs(k + 0.5 - (t + 0.5) * total / steps) <= 0.5 for t, k in enumerate(found))
    if not more:
        assert found == list(range(steps))


def test_windows_out_of_range():
    with pytest.raises(ConfigError, match="windows must be from 4, the number of steps, to 10,000"):
        create_coding("frames", steps=4, windows=3)
    with pytest.raises(ConfigError, match="unknown frames 'middle'"):
        create_coding("frames", steps=4, windows=8, frames="middle")


@settings(deadline=None, max_examples=50)
@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    steps=st.integers(1, 12),
    seed=st.integers(0, 2**31),
)
def test_every_event_is_in_one_frame_and_batches_do_not_matter(counts, steps, seed):
    recordings = [recording(count, (seed, i)) for i, count in enumerate(counts)]
    for bins in ("time", "count"):
        code = create_coding("frames", steps=steps, bins=bins, value="count")
        found = code.encode(batch(*recordings))
        assert found.sum((0, 2, 3, 4)).tolist() == counts
        alone = [code.encode(batch(each)) for each in recordings]
        assert torch.equal(found, torch.cat(alone, 1))


def test_windows_of_time_are_exact_at_their_borders():
    # ⌊T t / duration⌋ in integers: 333 of 1000 µs in three windows is in the first, 334 in the
    # second; in float32, 3 · 333.33 can round either way.
    each = SimpleNamespace(t=[333, 334, 666, 667], x=[0] * 4, y=[0] * 4, p=[1] * 4)
    code = create_coding("frames", steps=3, value="count")
    assert code.encode(batch(each))[:, 0, 1, 0, 0].tolist() == [1, 2, 1]


def test_late_events():
    each = SimpleNamespace(t=[0, 400, 900], x=[0] * 3, y=[0] * 3, p=[0] * 3)
    for late, expected in (("drop", [1, 1]), ("last-bin", [1, 2])):
        code = create_coding("frames", steps=2, value="count", duration=0.6, late=late)
        assert code.encode(batch(each))[:, 0, 0, 0, 0].tolist() == expected


def test_the_duration_of_training_is_kept_for_other_recordings():
    code = create_coding("frames", steps=2, value="count")
    code.bind(SPEC)
    each = SimpleNamespace(t=[0, 600], x=[0, 0], y=[0, 0], p=[0, 0])
    longer = EventBatch.of([each], SPEC.shape, 100 * DURATION)
    assert code.encode(longer)[:, 0, 0, 0, 0].tolist() == [1, 1]
    unbound = create_coding("frames", steps=2, value="count")
    assert unbound.encode(longer)[:, 0, 0, 0, 0].tolist() == [2, 0]


def test_pixels_share_a_frame_pixel():
    code = create_coding("frames", steps=1, value="count", downsample=2)
    assert code.step_shape(SPEC) == (2, 2, 3)
    full = create_coding("frames", steps=1, value="count").encode(batch(*RECORDINGS))
    padded = torch.nn.functional.pad(full, (0, 1))
    sums = padded.unflatten(4, (3, 2)).unflatten(3, (2, 2)).sum((4, 6))
    assert torch.equal(code.encode(batch(*RECORDINGS)), sums)


@pytest.mark.parametrize("polarity", CHANNEL)
def test_voxels(polarity):
    steps = 4
    code = create_coding("voxel", steps=steps, polarity=polarity)
    expected = np.zeros((steps, len(RECORDINGS), *code.step_shape(SPEC)))
    for b, each in enumerate(RECORDINGS):
        for t, x, y, p in events_of(each):
            for k in range(steps):
                share = max(0.0, 1 - abs(k - (steps - 1) * t / DURATION))
                expected[k, b, CHANNEL[polarity](p), y, x] += SIGN[polarity](p) * share
    np.testing.assert_allclose(code.encode(batch(*RECORDINGS)), expected, atol=1e-6)


@pytest.mark.parametrize("polarity", ["two", "off"])
def test_time_surfaces(polarity):
    steps, tau = 4, 0.3
    code = create_coding("time-surface", steps=steps, tau=tau, polarity=polarity)
    expected = np.zeros((steps, len(RECORDINGS), *code.step_shape(SPEC)))
    for b, each in enumerate(RECORDINGS):
        for k in range(steps):
            end = (k + 1) * DURATION / steps
            for t, x, y, p in events_of(each):
                if t < end:  # later events replace earlier ones
                    expected[k, b, CHANNEL[polarity](p), y, x] = math.exp(-(end - t) / (1000 * tau))
    np.testing.assert_allclose(code.encode(batch(*RECORDINGS)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "analog"),
    [
        ("frames", {}, 0),
        ("frames", {"value": "count"}, 3),
        ("frames", {"value": "log-count"}, 3),
        ("frames", {"polarity": "signed"}, 3),
        ("voxel", {}, 3),
        ("time-surface", {}, 3),
    ],
)
def test_only_binary_frames_are_spikes(name, options, analog):
    assert create_coding(name, steps=3, **options).analog_steps == analog


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("frames", {"bins": "space"}, "unknown bins 'space': choose from time, count"),
        ("frames", {"value": "rate"}, "unknown value 'rate'"),
        ("frames", {"polarity": "both"}, "unknown polarity 'both'"),
        ("frames", {"late": "clamp"}, "unknown late 'clamp'"),
        ("frames", {"duration": 0}, "duration is 0 ms"),
        ("frames", {"downsample": 0}, "downsample is 0"),
        ("time-surface", {"tau": -1}, "tau is -1 ms"),
        ("time-surface", {"polarity": "signed"}, "has no time surface"),
    ],
)
def test_refused_options(name, options, text):
    with pytest.raises(ConfigError) as refused:
        create_coding(name, steps=2, **options)
    assert text in str(refused.value)


@pytest.mark.parametrize("name", ["direct", "hybrid", "rate"])
def test_codes_of_images_refuse_events_and_the_reverse(name):
    with pytest.raises(ConfigError, match="takes images, not events"):
        create_coding(name, steps=4).bind(SPEC)
    with pytest.raises(ConfigError, match="takes events, not images"):
        create_coding("frames", steps=4).bind(SampleSpec("image", (1, 4, 4)))
