"""Corruptions of events against their formulas, and their random numbers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.coding.event_frames import Frames
from asnn.coding.samples import COLUMNS, EventBatch
from asnn.measure.robustness.events import (
    event_drop,
    event_jitter,
    event_noise,
    event_shuffle,
    hot_pixels,
    polarity_drop,
)
from asnn.measure.robustness.sample_random import SampleRandom
from tests.support.samples import recording

SENSOR, DURATION = (2, 12, 9), 20_000
CHANGES = {
    "event-drop": (event_drop, 0.4),
    "event-noise": (event_noise, 0.5),
    "event-jitter": (event_jitter, 2.0),
    "event-shuffle": (event_shuffle, 0.5),
    "polarity-drop": (polarity_drop, 0.5),
    "hot-pixels": (lambda events, share, random: hot_pixels(events, share, 0), 0.05),
}


def batch(*counts, shape=SENSOR, duration=DURATION, seed=0):
    parts = [recording(n, shape, (seed, i), duration) for i, n in enumerate(counts)]
    return EventBatch.of(parts, shape, duration)


def random(events, key="a 0"):
    return SampleRandom(events, key)


def changed(name, events, key="a 0"):
    change, severity = CHANGES[name]
    return change(events, severity, random(events, key))


def same(a, b):
    columns = all(torch.equal(getattr(a, name), getattr(b, name)) for name in COLUMNS)
    return columns and (a.size, a.shape, a.duration) == (b.size, b.shape, b.duration)


def rows(events):
    return list(zip(*(getattr(events, name).tolist() for name in COLUMNS), strict=True))


def check_order(events):
    order = list(zip(events.sample.tolist(), events.t.tolist(), strict=True))
    assert order == sorted(order)


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(list(CHANGES)),
    counts=st.lists(st.integers(0, 40), max_size=5),
    shape=st.tuples(st.integers(1, 2), st.integers(1, 6), st.integers(1, 6)),
    duration=st.integers(1, 5_000),
)
def test_results_are_events_of_the_same_sensor(name, counts, shape, duration):
    events = batch(*counts, shape=shape, duration=duration)
    found = changed(name, events)
    assert (found.size, found.shape, found.duration) == (len(counts), shape, duration)
    check_order(found)
    limits = {"t": duration, "x": shape[2], "y": shape[1], "p": shape[0], "sample": len(counts)}
    for column, limit in limits.items():
        values = getattr(found, column)
        assert values.dtype == torch.int64
        assert ((values >= 0) & (values < limit)).all()


@pytest.mark.parametrize("name", CHANGES)
def test_severity_0_gives_the_same_events(name):
    events = batch(30, 0, 12)
    change, severity = CHANGES[name]
    assert same(change(events, 0, random(events)), events)
    assert not same(change(events, severity, random(events)), events)


@pytest.mark.parametrize("name", CHANGES)
def test_a_recording_is_corrupted_alike_in_every_batch(name):
    events = batch(30, 0, 12, 50, 1, 7)
    whole = changed(name, events).split(1)
    for size in (1, 2, 4):
        parts = [one for each in events.split(size) for one in changed(name, each).split(1)]
        assert all(same(a, b) for a, b in zip(parts, whole, strict=True))


@pytest.mark.parametrize("p", [0.1, 0.5, 1.0])
def test_a_share_of_the_events_is_dropped_and_none_is_added(p):
    events = batch(20_000, 10_000)
    kept = event_drop(events, p, random(events))
    n = len(events.t)
    tolerance = 5 * math.sqrt(p * (1 - p) / n)
    assert 1 - len(kept.t) / n == pytest.approx(p, abs=tolerance)
    chosen = random(events).rows(
        events.counts(),
        lambda count, generator: torch.rand(count, generator=generator, dtype=torch.float64),
    )
    assert rows(kept) == [row for row, u in zip(rows(events), chosen, strict=True) if u >= p]
    other = len(event_drop(events, p / 2, random(events)).t)
    assert abs(1 - other / n - p) > tolerance  # another share would not pass


def test_times_are_traded_within_a_recording_and_places_stay():
    events = batch(400, 0, 300)
    found = event_shuffle(events, 1.0, random(events))
    for before, after in zip(events.split(1), found.split(1), strict=True):
        assert torch.equal(before.t, after.t)  # sorted: the same times
        places = [sorted(zip(*(getattr(each, c).tolist() for c in "xyp"), strict=True))
                  for each in (before, after)]  # fmt: skip
        assert places[0] == places[1]
    moved = (found.x != events.x) | (found.y != events.y)
    assert float(moved.double().mean()) > 0.9
    few = event_shuffle(events, 0.1, random(events))
    assert 0.02 < float((few.x != events.x).double().mean()) < 0.3


def test_off_events_alone_are_lost_with_the_polarity():
    events = batch(300, 0, 200)
    found = polarity_drop(events, 1.0, random(events))
    assert rows(found) == [row for row in rows(events) if row[3] == 1]
    half = polarity_drop(events, 0.5, random(events))
    assert int((half.p == 1).sum()) == int((events.p == 1).sum())
    off = int((events.p == 0).sum())
    assert int((half.p == 0).sum()) == pytest.approx(off / 2, abs=5 * math.sqrt(off) / 2)


def added_by(severity, events):
    """The events that noise adds, without those of the recordings."""
    found = event_noise(events, severity, random(events))
    left = rows(events)
    return [row for row in rows(found) if row not in left or left.remove(row)]


def test_noise_adds_a_share_of_the_recording_and_keeps_its_events():
    events = batch(101, 0, 10)
    for severity in (0.05, 0.5, 3.0):
        counts = event_noise(events, severity, random(events)).counts() - events.counts()
        assert counts.tolist() == [round(severity * n) for n in (101, 0, 10)]
        assert len(added_by(severity, events)) == counts.sum()
    weak, strong = (added_by(severity, events) for severity in (0.2, 0.9))
    assert set(weak) < set(strong)


def test_noise_is_uniform_in_time_pixel_and_polarity():
    empty_half = recording(8_000, (2, 1, 1), 0, DURATION // 2)
    events = EventBatch.of([empty_half], SENSOR, DURATION)  # one pixel, off and on, first half
    found = event_noise(events, 10.0, random(events))
    n = 80_000
    for column, size in (("x", 9), ("y", 12), ("p", 2)):
        values = getattr(found, column).double()
        own = getattr(events, column).double()
        mean = (values.sum() - own.sum()) / n
        deviation = math.sqrt((size**2 - 1) / 12 / n)
        assert mean.item() == pytest.approx((size - 1) / 2, abs=5 * deviation)
    late = (found.t >= DURATION // 2).double().sum() / n
    assert late.item() == pytest.approx(0.5, abs=5 * math.sqrt(0.25 / n))


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_hot_pixels_fire_at_each_tick(share):
    events = batch(40, 0, duration=3_500)
    found = hot_pixels(events, share)
    left = rows(events)
    new = [row for row in rows(found) if row not in left or left.remove(row)]
    assert left == []
    pixels = {(x, y, p) for _, x, y, p, _ in new}
    assert len(pixels) == len({(x, y) for x, y, _ in pixels}) == round(share * 12 * 9)
    expected = [
        (t, *pixel, sample) for sample in (0, 1) for t in (0, 1000, 2000, 3000) for pixel in pixels
    ]
    assert sorted(new) == sorted(expected)
    assert pixels <= {(x, y, p) for _, x, y, p, _ in rows(hot_pixels(events, 2 * share))}
    if share == 0.1:
        others = {(x, y, p) for _, x, y, p, s in rows(hot_pixels(events, share, seed=1)) if s == 1}
        assert others != pixels
        assert {p for *_, p in pixels} == {0, 1}


@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_jitter_has_its_deviation_in_ms(sigma):
    middle = recording(20_000, (1, 1, 1), 0, 1)
    middle.t += 500_000
    events = EventBatch.of([middle], (1, 1, 1), 1_000_000)
    shift = (event_jitter(events, sigma, random(events)).t - 500_000).double() / 1000
    n = len(shift)
    assert shift.mean().abs() < 5 * sigma / math.sqrt(n)
    assert shift.std().item() == pytest.approx(sigma, rel=5 / math.sqrt(2 * n))
    assert shift.std().item() != pytest.approx(1.2 * sigma, rel=5 / math.sqrt(2 * n))


def test_jitter_moves_each_event_and_keeps_the_others_columns():
    events = batch(60, 0, 25)
    found = event_jitter(events, 3.0, random(events))
    for column in ("x", "y", "p"):
        ours = sorted(zip(events.sample.tolist(), getattr(events, column).tolist(), strict=True))
        assert ours == sorted(
            zip(found.sample.tolist(), getattr(found, column).tolist(), strict=True)
        )
    far = event_jitter(events, 10_000.0, random(events))
    assert set(far.t.tolist()) <= {0, DURATION - 1}  # clamped, none is lost
    assert len(far.t) == 85


def test_jitter_leaves_events_after_the_duration():
    late = recording(50, SENSOR, 0, DURATION)
    late.t += DURATION
    events = EventBatch.of([late], SENSOR, DURATION)
    assert same(event_jitter(events, 5.0, random(events)), events)
    frames = Frames(steps=4)
    assert not frames.encode(event_jitter(events, 5.0, random(events))).any()


def test_random_numbers_depend_on_seed_and_every_column():
    events = batch(30)
    first = changed("event-noise", events)
    assert same(first, changed("event-noise", events))
    assert not same(first, changed("event-noise", events, key="a 1"))
    numbers = random(events).uniform(torch.empty(1, 4))
    for column in ("t", "x", "y", "p"):
        other = batch(30)
        getattr(other, column)[-1] += 1
        assert not torch.equal(numbers, random(other).uniform(torch.empty(1, 4)))
