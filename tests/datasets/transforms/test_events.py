"""Augmentation of events, compared with loops over events, and its distributions."""

import math

import pytest
import torch

from asnn.coding.samples import EventBatch, SampleSpec
from asnn.core.errors import ConfigError
from asnn.datasets.transforms.base import sample_generators
from asnn.datasets.transforms.events import EventAugment, exchange, flip, mix, shift
from tests.support.samples import recording

SENSOR, DURATION = (2, 6, 9), 1_000
COLUMNS = ("t", "x", "y", "p", "sample")


def batch(counts=(40, 0, 25, 1), sensor=SENSOR, seed=0) -> EventBatch:
    parts = [recording(n, sensor, (seed, i), DURATION) for i, n in enumerate(counts)]
    return EventBatch.of(parts, sensor, DURATION)


def rows(events: EventBatch) -> list[tuple[int, ...]]:
    return list(zip(*(getattr(events, name).tolist() for name in COLUMNS), strict=True))


def augmented(events: EventBatch, seed=0, epoch=0, **options):
    y = torch.arange(len(events))
    generators = sample_generators(seed, torch.arange(len(events)))
    found, targets = EventAugment(**options).apply(
        events,
        y,
        epoch=epoch,
        generator=torch.Generator().manual_seed(seed),
        samples=generators,
    )
    assert found.size == events.size and found.shape == events.shape
    return found, targets


def well_formed(events: EventBatch) -> bool:
    """Whether the events are inside the sensor and sorted by recording and time."""
    polarities, height, width = events.shape
    inside = all(
        bool(((values >= 0) & (values < size)).all())
        for values, size in ((events.p, polarities), (events.y, height), (events.x, width))
    )
    same = events.sample.diff() == 0
    return inside and bool((events.sample.diff() >= 0).all() & (events.t.diff()[same] >= 0).all())


def test_a_shift_is_a_loop_over_events():
    events = batch()
    right, down = torch.tensor([2, 1, -3, 0]), torch.tensor([-1, 0, 4, 5])
    expected = []
    for t, x, y, p, sample in rows(events):
        x, y = x + int(right[sample]), y + int(down[sample])
        if 0 <= x < SENSOR[2] and 0 <= y < SENSOR[1]:
            expected.append((t, x, y, p, sample))
    found = shift(events, right, down)
    assert rows(found) == expected
    assert 0 < len(expected) < len(events.t), "some leave, some stay"


@pytest.mark.parametrize("sensor", [(1, 1, 9), (2, 9, 1)])
def test_a_sensor_of_one_line_moves_along_it_only(sensor):
    events = batch(sensor=sensor)
    nothing, far = torch.zeros(4, dtype=torch.long), torch.full((4,), 3)
    across = (nothing, far) if sensor[1] == 1 else (far, nothing)
    assert rows(shift(events, *across)) == rows(events)
    along = (far, nothing) if sensor[1] == 1 else (nothing, far)
    assert 0 < len(shift(events, *along).t) < len(events.t)


def test_a_flip_is_a_loop_over_events():
    events = batch()
    chosen = torch.tensor([True, False, False, True])
    expected = [
        (t, SENSOR[2] - 1 - x if chosen[sample] else x, y, p, sample)
        for t, x, y, p, sample in rows(events)
    ]
    assert rows(flip(events, chosen)) == expected


def within_5_deviations(found: float, expected: float, deviation: float) -> bool:
    return abs(found - expected) <= 5 * deviation


def test_shifts_are_uniform():
    # One event in the middle of a sensor that no shift leaves.
    count, largest = 6_000, 2
    t, one = torch.zeros(count, dtype=torch.long), torch.ones(count, dtype=torch.long)
    events = EventBatch(t, 8 * one, 8 * one, one, torch.arange(count), count, (2, 17, 17), 100)
    found, _ = augmented(events, shift=largest)
    places = 2 * largest + 1
    for values in (found.x, found.y):
        assert values.min() == 8 - largest and values.max() == 8 + largest
        share = 1 / places
        for number in torch.bincount(values - 8 + largest, minlength=places).tolist():
            assert within_5_deviations(number, count * share, (count * share * (1 - share)) ** 0.5)
    # x and y are independent: all pairs appear.
    assert len(set(zip(found.x.tolist(), found.y.tolist(), strict=True))) == places**2


@pytest.mark.parametrize(("option", "column"), [("flip", "x"), ("polarity_flip", "p")])
def test_half_of_the_recordings_are_flipped(option, column):
    count = 6_000
    one = torch.ones(count, dtype=torch.long)
    events = EventBatch(0 * one, one, one, one, torch.arange(count), count, SENSOR, 100)
    found, _ = augmented(events, **{option: True})
    flipped = int((getattr(found, column) != 1).sum())
    assert within_5_deviations(flipped, count / 2, (count / 4) ** 0.5)
    mirrored = {"x": SENSOR[2] - 2, "p": 0}[column]
    assert set(getattr(found, column).tolist()) == {1, mirrored}
    for name in set(COLUMNS) - {column}:
        assert torch.equal(getattr(found, name), getattr(events, name))


def test_the_share_of_dropped_events():
    # For the share s uniform in [0, d], E[s] = d / 2 and the variance is d² / 12 a recording, plus
    # s (1 - s) / n from the n events.
    recordings, events_each, drop = 2_000, 50, 0.8
    count = recordings * events_each
    one = torch.ones(count, dtype=torch.long)
    sample = torch.arange(recordings).repeat_interleave(events_each)
    events = EventBatch(
        torch.arange(count) % events_each, one, one, one, sample, recordings, SENSOR, 100
    )
    found, _ = augmented(events, drop=drop)
    share = 1 - found.counts() / events_each
    of_events = (drop / 2 - drop**2 / 3) / events_each
    variance = drop**2 / 12 + of_events
    assert within_5_deviations(float(share.mean()), drop / 2, (variance / recordings) ** 0.5)
    # The variance of a mean of squares: for a distribution this flat below 2 σ⁴ / n.
    error = 5 * variance * (2 / recordings) ** 0.5
    assert float(share.double().var()) == pytest.approx(variance, abs=error)
    # Each event of a recording is as likely to stay as any other.
    stays = torch.bincount(found.t, minlength=events_each) / recordings
    deviation = ((1 - drop / 2) * drop / 2 / recordings) ** 0.5
    assert float((stays - (1 - drop / 2)).abs().max()) <= 5 * deviation


def test_what_is_not_dropped_is_unchanged():
    events = batch((300, 200, 0, 100))
    found, _ = augmented(events, drop=0.5)
    assert len(found.t) < len(events.t)
    remaining = iter(rows(events))
    assert all(row in remaining for row in rows(found)), "a part of the events, in their order"


def test_times_are_stretched_by_one_factor_a_recording():
    stretch = 0.25
    parts = 500
    t = torch.tensor([0, 100, 40_000, 80_000]).repeat(parts)
    zero = torch.zeros_like(t)
    sample = torch.arange(parts).repeat_interleave(4)
    events = EventBatch(t, zero, zero, zero, sample, parts, SENSOR, 100_000)
    found, _ = augmented(events, stretch=stretch)
    times = found.t.view(parts, 4)
    assert (times[:, 0] == 0).all()
    factor = times[:, 3] / 80_000
    low, high = 1 / (1 + stretch), 1 + stretch
    assert low - 1e-4 <= float(factor.min()) < low + 0.05
    assert high - 0.05 < float(factor.max()) <= high
    mean, deviation = (low + high) / 2, (high - low) / 12**0.5
    assert within_5_deviations(float(factor.mean()), mean, deviation / parts**0.5)
    torch.testing.assert_close(times[:, 2].double(), 40_000 * factor.double(), atol=1, rtol=0)
    torch.testing.assert_close(times[:, 1].double(), 100 * factor.double(), atol=1, rtol=0)


def test_exchanged_windows_are_a_loop_over_recordings():
    events = batch((40, 0, 25, 7))
    other, begin, end = torch.tensor([2, 0, 3, 1]), 300, 700
    expected = []
    for number in range(4):
        own = [r for r in rows(events) if r[4] == number and not begin <= r[0] < end]
        pasted = [r for r in rows(events) if r[4] == int(other[number]) and begin <= r[0] < end]
        expected += [(*row[:4], number) for row in sorted(own + pasted, key=lambda row: row[0])]
    found, weight = exchange(events, other, begin, end)
    # Events at one time keep the order of their recording, as `sorted` keeps it.
    assert rows(found) == expected
    outside = sum(not begin <= row[0] < end for row in rows(events))
    assert weight == outside / len(events.t)
    assert well_formed(found)


def test_a_mixed_batch_has_both_targets():
    events = batch((400, 300, 200, 100))
    y = torch.tensor([5, 6, 7, 8])
    for seed in range(20):
        found, targets = mix(events, y, torch.Generator().manual_seed(seed))
        assert well_formed(found) and len(found.t) == len(events.t)
        assert sorted(targets.second.tolist()) == [5, 6, 7, 8]
        kept = 0
        for number in range(4):
            before = {row for row in rows(events) if row[4] == number}
            after = {row for row in rows(found) if row[4] == number}
            kept += len(after & before)
        if len(set(targets.second.tolist())) == 4 and (targets.second != y).all():
            assert targets.weight == pytest.approx(kept / len(events.t), abs=0.01)
        assert 0 <= targets.weight <= 1


def test_mixing_ends_with_its_epoch():
    events = batch((400, 300, 200, 100))
    for epoch, mixed in ((0, True), (2, True), (3, False)):
        found, targets = augmented(events, epoch=epoch, mix=True, mix_off_epoch=3)
        assert (rows(found) != rows(events)) is mixed
        assert (targets.weight != 1.0) is mixed


def test_a_batch_without_events_is_mixed():
    found, targets = augmented(batch((0, 0)), mix=True, drop=0.5, stretch=0.1)
    assert len(found.t) == 0 and targets.weight == 1.0


ALL = {"flip": True, "shift": 3, "polarity_flip": True, "drop": 0.5, "stretch": 0.3}


def test_all_together_stay_inside_the_sensor():
    for seed in range(10):
        events = batch((400, 0, 250, 1), seed=seed)
        found, targets = augmented(events, seed=seed, mix=True, **ALL)
        assert well_formed(found)
        assert len(found.t) < len(events.t)
        assert torch.equal(targets.first, torch.arange(4))


def test_an_option_does_not_change_the_numbers_of_another():
    events = batch((60, 30), sensor=(2, 64, 64))
    moved, _ = augmented(events, shift=1)
    for option in ("flip", "polarity_flip", "stretch"):
        both, _ = augmented(events, **{"shift": 1, option: ALL[option]})
        assert torch.equal(both.y, moved.y)
    both, _ = augmented(events, shift=1, drop=0.5)
    assert set(rows(both)) < set(rows(moved))


def test_the_given_events_are_not_modified():
    events = batch((400, 300))
    before = rows(events)
    augmented(events, mix=True, **ALL)
    assert rows(events) == before


def test_no_option_returns_the_batch():
    events = batch()
    found, targets = augmented(events)
    assert found is events and targets.weight == 1.0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"shift": -1}, "shift is -1: it cannot be negative"),
        ({"drop": 1.5}, "drop is 1.5: it is a share of the events, 0 to 1"),
        ({"drop": math.nan}, "drop is nan"),
        ({"stretch": -0.1}, "stretch is -0.1: it must be 0 to 100"),
        ({"stretch": math.inf}, "stretch is inf"),
        ({"mix_off_epoch": -1}, "mix_off_epoch is -1"),
    ],
)
def test_refused_options(options, text):
    with pytest.raises(ConfigError, match=text):
        EventAugment(**options)


def test_options_that_do_not_fit_the_sensor():
    spec = SampleSpec("events", (1, 4, 6), duration=100)
    EventAugment(shift=3, flip=True, drop=1.0).check(spec)
    EventAugment(shift=5).check(SampleSpec("events", (1, 1, 6), duration=100))
    with pytest.raises(ConfigError, match="augment.shift is 4, the shorter side of the sensor 4"):
        EventAugment(shift=4).check(spec)
    with pytest.raises(ConfigError, match="the sensor has no polarity"):
        EventAugment(polarity_flip=True).check(spec)
    EventAugment(polarity_flip=True).check(SampleSpec("events", (2, 4, 6), duration=100))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_events_on_cuda_have_the_same_bits():
    events = batch((400, 0, 250, 1))
    on_cpu, targets = augmented(events, mix=True, **ALL)
    on_cuda, other = augmented(events.to("cuda"), mix=True, **ALL)
    assert rows(on_cuda.to("cpu")) == rows(on_cpu)
    assert other.weight == targets.weight
