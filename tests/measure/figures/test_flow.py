"""Flow as colours, and events that meet where they move along their flow."""

import colorsys
import math

import numpy as np
import pytest
import torch

from asnn.coding.samples import EventBatch
from asnn.measure.figures.flow import colour_wheel, flow_colours, images_before_and_after, lit


def moving_dot():
    """A dot that moves by one pixel to the right each ms, from (2, 3)."""
    steps = torch.arange(6)
    one = torch.ones_like(steps)
    return EventBatch(1000 * steps, 2 + steps, 3 * one, one, 0 * one, 1, (2, 8, 12), 6000)


@pytest.mark.parametrize("angle", range(0, 360, 30))
@pytest.mark.parametrize("length", [0.0, 1.0, 2.0, 9.0])
def test_hue_is_the_direction_and_saturation_the_length(angle, length):
    radians = math.radians(angle)
    flow = length * torch.tensor([math.cos(radians), math.sin(radians)]).view(2, 1, 1)
    wanted = colorsys.hsv_to_rgb(angle / 360, min(length / 2, 1), 1)
    found = flow_colours(flow, 2.0)[0, 0]
    np.testing.assert_allclose(found, [255 * each for each in wanted], atol=1)


def test_pixels_that_are_not_shown_are_black():
    shown = torch.tensor([[True, False]])
    assert flow_colours(torch.zeros(2, 1, 2), 1.0, shown).tolist() == [[[255] * 3, [0] * 3]]


def test_the_wheel_is_white_in_the_centre_and_outside():
    wheel = colour_wheel(65)
    assert wheel[32, 32].tolist() == [255] * 3 and wheel[0, 0].tolist() == [255] * 3
    assert wheel[32, 64].tolist() == [255, 0, 0]  # to the right


def test_events_of_a_moving_dot_meet_where_it_ends():
    events = moving_dot()
    flow = torch.tensor([6.0, 0.0]).view(1, 2, 1, 1)  # 1 px a ms, over 6 ms
    before, after = images_before_and_after(events, flow)
    assert before[0, 3].tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]
    assert after[0, 3].tolist() == pytest.approx([0] * 8 + [6] + [0] * 3, abs=1e-5)
    _, wrong = images_before_and_after(events, -flow)
    assert wrong.max() < 2
    assert lit(events).sum() == 6
