"""Which cell a box belongs to, and its values."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.datasets.boxes import pack
from asnn.models.readouts.detection import Grid
from asnn.tasks.detection.cells import Cells

FINE, COARSE = Grid(8, 4, 6), Grid(16, 2, 3)


def table(*rows):
    return torch.tensor([rows], dtype=torch.float32)


def test_a_box_belongs_to_the_cell_of_its_centre():
    cells = Cells.of([FINE])
    labels, values = cells.assign(table([9, 17, 21, 25, 3]))  # centre (15, 21), 12 × 8
    assert labels.shape == (1, 24)
    assert values.shape == (1, 4, 24)
    cell = 2 * 6 + 1  # row 2, column 1: centre (12, 20)
    assert labels[0, cell] == 3
    assert (labels >= 0).sum() == 1
    expected = [3 / 8, 1 / 8, math.log(12 / 8), math.log(8 / 8)]
    assert values[0, :, cell].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("side", "grid"), [(20, 0), (45, 0), (46, 1), (60, 1)])
def test_the_size_chooses_the_grid(side, grid):
    """The border between 32 px (4 strides of 8) and 64 px is √(32·64) = 45.25 px."""
    labels, _ = Cells.of([FINE, COARSE]).assign(table([0, 0, side, side, 1]))
    cell = int((labels[0] >= 0).nonzero())
    assert (cell >= 24) == bool(grid)


def test_of_two_boxes_in_a_cell_the_smaller_is_taken():
    large, small = [0, 0, 8, 8, 1], [2, 2, 6, 6, 2]
    for rows in ([large, small], [small, large]):
        labels, values = Cells.of([FINE]).assign(table(*rows))
        assert labels[0, 0] == 2
        assert (labels >= 0).sum() == 1
        assert values[0, 2, 0] == pytest.approx(math.log(4 / 8))


def test_a_centre_at_the_border_is_in_the_last_cell():
    labels, _ = Cells.of([FINE]).assign(table([44, 28, 52, 36, 0]))  # centre (48, 32)
    assert labels[0, -1] == 0


def test_samples_without_boxes_have_background_only():
    labels, values = Cells.of([FINE, COARSE]).assign(torch.full((2, 3, 5), torch.nan))
    assert (labels == -1).all()
    assert (values == 0).all()


@given(
    seed=st.integers(0, 2**31),
    count=st.integers(1, 12),
    samples=st.integers(1, 3),
    strides=st.sampled_from([(8,), (8, 16), (4, 8, 32)]),
)
@settings(max_examples=15, deadline=None)
def test_values_give_the_boxes_again(seed, count, samples, strides):
    g = torch.Generator().manual_seed(seed)
    cells = Cells.of([Grid(s, -(-64 // s), -(-96 // s)) for s in strides])
    boxes, classes = [], []
    for _ in range(samples):
        corner = torch.rand(count, 2, generator=g) * torch.tensor([80.0, 50])
        boxes.append(torch.cat([corner, corner + 1 + 60 * torch.rand(count, 2, generator=g)], 1))
        classes.append(torch.arange(count) % 3)
    targets = pack(boxes, classes)
    labels, values = cells.assign(targets)
    found = cells.decode(values)
    for b in range(samples):
        there = (labels[b] >= 0).nonzero().flatten()
        assert 1 <= len(there) <= count
        for cell in there:
            rows = targets[b, :, :4]
            distance = (rows - found[b, cell]).abs().amax(1)
            row = int(distance.argmin())
            assert distance[row] < 1e-3
            assert targets[b, row, 4] == labels[b, cell]
            centre = (rows[row, :2] + rows[row, 2:]) / 2
            at = torch.stack([cells.x[cell], cells.y[cell]])
            last = torch.tensor([96.0, 64])
            inside = (centre.clamp(max=last) - at).abs() <= cells.stride[cell] / 2 + 1e-3
            assert inside.all()
