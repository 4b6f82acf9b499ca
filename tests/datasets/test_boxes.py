"""Boxes as targets."""

import pytest
import torch

from asnn.coding.samples import SampleSpec
from asnn.core import DataError
from asnn.datasets.base import Source, Split
from asnn.datasets.boxes import of_sample, pack, present, problem_of
from asnn.datasets.check import check_source

NAN = float("nan")


def test_boxes_of_samples_are_rows_of_one_table():
    boxes = [torch.tensor([[0, 0, 2, 3], [1, 1, 4, 4]]), torch.zeros(0, 4)]
    found = pack(boxes, [torch.tensor([7, 0]), torch.zeros(0)])
    assert found.shape == (2, 2, 5)
    assert present(found).tolist() == [[True, True], [False, False]]
    first, classes = of_sample(found[0])
    assert first.tolist() == boxes[0].tolist()
    assert classes.tolist() == [7, 0]
    assert len(of_sample(found[1])[0]) == 0


def test_samples_without_boxes_have_one_empty_row():
    found = pack([torch.zeros(0, 4)], [torch.zeros(0)])
    assert found.shape == (1, 1, 5)
    assert found.isnan().all()


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ([0, 0, 2, 2, 1], None),
        ([0, 0, 2, 2, 2], "classes from 2 to 2, and 2 names of classes"),
        ([0, 0, 2, 2, 0.5], "classes from 0.5 to 0.5"),
        ([2, 0, 2, 2, 0], "without width or height"),
        ([0, 0, float("inf"), 2, 0], "not finite"),
        ([0, NAN, 2, 2, 0], "not finite"),
    ],
)
def test_wrong_boxes_are_named(row, problem):
    found = problem_of(torch.tensor([[row, [NAN] * 5]]).float(), 2)
    assert found is None if problem is None else problem in found


@pytest.mark.parametrize(
    ("target", "shape", "why"),
    [
        ("boxes", (2, 3, 4), "boxes of shape [2, 3, 4], not float32 [N, M, 5]"),
        ("flow", (2, 3, 4, 4), "flow of shape [2, 3, 4, 4], not float32 [N, 2, H, W]"),
    ],
)
def test_targets_of_another_shape_are_refused(target, shape, why):
    split = Split(torch.zeros(2, 1, 4, 4), torch.zeros(shape))
    with pytest.raises(DataError, match="cannot be used") as error:
        check_source("own", Source(split, None, ["a"], target=target))
    assert why in str(error.value.why)


@pytest.mark.parametrize("kind", [torch.float32, torch.int64])
def test_flow_is_that_of_the_pixels_of_the_sensor_or_one_for_all(kind):
    spec = SampleSpec("events", (2, 4, 5), duration=9)
    for size, fits in (((4, 5), True), ((1, 1), True), ((5, 4), False)):
        split = Split(torch.zeros(2, 2, 4, 5), torch.zeros(2, 2, *size, dtype=kind))
        source = Source(split, None, [], spec=spec, target="flow")
        if fits and kind == torch.float32:
            check_source("own", source)
            continue
        with pytest.raises(DataError) as error:
            check_source("own", source)
        assert "not float32 [N, 2, 4, 5] or [N, 2, 1, 1]" in str(error.value.why)
