"""Warping and contrast against loops over single events, and at flows that are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.coding.samples import EventBatch
from asnn.datasets.motion import (
    average_times,
    contrast_loss,
    event_counts,
    flow_at,
    global_motion,
    inside,
    measures,
    moving_image_events,
    splat,
    warped,
)
from asnn.datasets.motion.images import EPSILON
from asnn.formats.events import Recording

DURATION = 1000


def random_events(seed, size=2, shape=(2, 5, 7), count=30):
    """Return events of `size` recordings at random places, the last of them empty."""
    draw = np.random.default_rng(seed)
    sample = np.sort(draw.integers(0, max(size - 1, 1), count))
    columns = [
        draw.integers(0, DURATION, count),
        draw.integers(0, shape[2], count),
        draw.integers(0, shape[1], count),
        draw.integers(0, shape[0], count),
        sample,
    ]
    order = np.lexsort((columns[0], sample))
    t, x, y, p, sample = (torch.from_numpy(each[order]) for each in columns)
    return EventBatch(t, x, y, p, sample, size, shape, DURATION)


def loop_images(events, flow, to):
    """Return the sums of weights and of weighted times of warped events, event by event."""
    counts = np.zeros((events.size, *events.shape))
    times = np.zeros_like(counts)
    for e in range(len(events.t)):
        b, p, t = int(events.sample[e]), int(events.p[e]), int(events.t[e])
        x, y = int(events.x[e]), int(events.y[e])
        u = flow[b, :, y, x]
        at_x = x + (to - t) / DURATION * u[0]
        at_y = y + (to - t) / DURATION * u[1]
        for row in range(events.shape[1]):
            for column in range(events.shape[2]):
                weight = max(0, 1 - abs(at_x - column)) * max(0, 1 - abs(at_y - row))
                counts[b, p if events.shape[0] == 2 else 0, row, column] += weight
                times[b, p if events.shape[0] == 2 else 0, row, column] += weight * t
    return counts, times


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 1000),
    polarities=st.sampled_from([1, 2]),
    to=st.sampled_from([0, 400, DURATION]),
)
def test_images_of_warped_events_are_those_of_a_loop(seed, polarities, to):
    events = random_events(seed, shape=(polarities, 4, 6))
    generator = torch.Generator().manual_seed(seed)
    flow = 4 * torch.randn(2, 2, 4, 6, generator=generator, dtype=torch.float64)
    x, y = warped(events, flow_at(events, flow), to)
    counts, times = loop_images(events, flow.numpy(), to)
    assert np.allclose(splat(events, x, y), counts)
    average, found = average_times(events, x, y, events.t.double())
    assert np.allclose(found, counts)
    assert np.allclose(average, times / (counts + EPSILON))


def test_the_loss_is_that_of_a_loop():
    events = random_events(3)
    flow = torch.randn(2, 2, 5, 7, dtype=torch.float64, generator=torch.manual_seed(0))
    expected = np.zeros(2)
    for to, reversed_times in ((DURATION, False), (0, True)):
        counts, times = loop_images(events, flow.numpy(), to)
        average = times / DURATION / (counts + EPSILON)
        if reversed_times:
            average = (counts - times / DURATION) / (counts + EPSILON)
        lit = (counts.sum(1) > 0).sum((1, 2))
        expected += (average**2).sum((1, 2, 3)) / np.maximum(lit, 1)
    found = contrast_loss(events, flow_at(events, flow), DURATION)
    assert np.allclose(found, expected, rtol=1e-6)
    assert found[1] == 0  # the recording without events


def test_the_loss_has_the_gradient_of_its_differences():
    events = random_events(5, count=12)
    flow = torch.randn(12, 2, dtype=torch.float64, generator=torch.manual_seed(1)) / 3
    direction = torch.randn(12, 2, dtype=torch.float64, generator=torch.manual_seed(2))
    flow.requires_grad_()
    contrast_loss(events, flow, DURATION).sum().backward()
    step = 1e-6
    ahead, behind = (
        float(contrast_loss(events, flow.detach() + sign * step * direction, DURATION).sum())
        for sign in (1, -1)
    )
    expected = (ahead - behind) / (2 * step)
    assert float((flow.grad * direction).sum()) == pytest.approx(expected, rel=1e-4)


def test_one_motion_for_all_pixels_is_that_motion_at_each_pixel():
    events = random_events(7)
    motion = torch.tensor([[2.0, -1.0], [0.5, 3.0]])[:, :, None, None]
    everywhere = motion.expand(2, 2, 5, 7)
    assert torch.equal(flow_at(events, motion), flow_at(events, everywhere))


def test_events_that_leave_are_dropped_and_not_kept_at_the_edge():
    events = random_events(1, size=2, count=20)
    far = torch.full((20, 2), 1000.0)
    late = inside(events, DURATION)
    x, y = warped(late, far, 5 * DURATION)
    assert splat(late, x, y).sum() == 0
    clamped = splat(late, x.clamp(0, 6), y.clamp(0, 4))
    assert clamped.sum() == 20  # what clamping would invent


def test_no_flow_has_measures_of_one_and_no_events_have_none():
    events = random_events(2)
    found = measures(events, torch.zeros(len(events.t), 2), DURATION)
    assert found.fwl[0] == 1
    assert found.rsat[0] == 1
    assert found.fwl[1].isnan()
    assert found.rsat[1].isnan()


def test_counts_are_the_numbers_of_events():
    events = random_events(4)
    expected = torch.zeros(2, 2, 5, 7)
    for e in range(len(events.t)):
        expected[events.sample[e], events.p[e], events.y[e], events.x[e]] += 1
    assert torch.equal(event_counts(events), expected)


@pytest.fixture(scope="module")
def moving():
    """The events of a blurred disc that moves by (3, -2) px, in a batch of one."""
    yy, xx = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    image = torch.sigmoid(3 * (5 - ((xx - 10) ** 2 + (yy - 13) ** 2).sqrt()))
    found = moving_image_events(image, (3.0, -2.0), duration=DURATION)
    return EventBatch.of([found], (2, 24, 24), DURATION)


def constant(events, x, y):
    return flow_at(events, torch.tensor([[x, y]])[:, :, None, None])


def moving_points(motion, points=40, events=20, size=24):
    """Return the events of points that move together, each at the nearest pixel."""
    draw = np.random.default_rng(0)
    start = draw.uniform(6, size - 6, (points, 1, 2))
    t = np.sort(draw.integers(0, DURATION, (points, events)), 1)
    at = np.rint(start + t[..., None] / DURATION * np.array(motion)).astype(int).reshape(-1, 2)
    polarity = np.repeat(draw.integers(0, 2, points), events)
    order = np.argsort(t.ravel(), kind="stable")
    columns = (each[order] for each in (t.ravel(), at[:, 0], at[:, 1], polarity))
    return EventBatch.of([Recording(*columns)], (2, size, size), DURATION)


@pytest.mark.parametrize("motion", [(3, -2), (-4, 0)])
def test_the_loss_is_smallest_at_the_motion_of_the_points(motion):
    events = moving_points(motion)
    grid = [(motion[0] + x, motion[1] + y) for x in range(-2, 3) for y in range(-2, 3)]
    losses = [
        float(contrast_loss(events, constant(events, *map(float, each)), DURATION)) for each in grid
    ]
    assert grid[int(np.argmin(losses))] == motion


def test_the_motion_of_the_pattern_sharpens(moving):
    found = measures(moving, constant(moving, 3.0, -2.0), DURATION)
    assert found.fwl > 1.3
    assert found.rsat < 0.95


def test_with_shuffled_times_the_true_motion_is_worse_than_none(moving):
    order = torch.randperm(len(moving.t), generator=torch.manual_seed(0))
    shuffled = replace(moving, t=moving.t[order])
    found = measures(shuffled, constant(shuffled, 3.0, -2.0), DURATION)
    assert found.fwl < 1
    assert found.rsat > 1


def test_the_search_finds_the_motion_of_the_points():
    events = moving_points((3, -2))
    nothing = np.zeros(0, np.int64)
    empty = Recording(nothing, nothing, nothing, nothing)
    one = Recording(*(getattr(events, name).numpy() for name in "txyp"))
    found = global_motion(EventBatch.of([empty, one], (2, 24, 24), DURATION), DURATION, span=4)
    assert (found[1] - torch.tensor([3.0, -2.0])).abs().max() <= 0.5  # pixels are whole


def test_an_image_at_rest_sends_no_events():
    image = torch.rand(24, 24, generator=torch.manual_seed(0))
    assert len(moving_image_events(image, (0.0, 0.0), duration=DURATION).t) == 0


def test_simulated_events_are_the_crossings_of_each_pixel():
    image = torch.zeros(1, 12, dtype=torch.float64)
    image[0, :4] = 1  # an edge that moves to the right by 2 px
    found = moving_image_events(image, (2.0, 0.0), duration=DURATION, threshold=0.5)
    crossings = int(np.log(1.05 / 0.05) / 0.5)
    assert (found.p == 1).all()
    assert np.array_equal(np.bincount(found.x, minlength=12)[[4, 5]], [crossings] * 2)
    assert (np.diff(found.t) >= 0).all()
    # Pixel 4 is half lit when the edge has moved by half a pixel, a quarter of the duration.
    of_four = found.t[found.x == 4]
    expected = [
        (0.05 * np.exp(0.5 * (k + 1)) - 0.05) * DURATION / 2 for k in range(crossings)
    ]  # light grows by 1 in the first half of the duration
    assert np.abs(of_four - expected).max() < 0.1 * DURATION
