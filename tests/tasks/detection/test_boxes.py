"""Overlap and suppression, beside torchvision's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.datasets.sources.images.torchvision_import import lacks_operators, torchvision
from asnn.tasks.detection.boxes import area, overlaps, suppress


def random_boxes(seed, samples, count, span, classes):
    g = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, span, (samples, count, 2), generator=g).float()
    side = torch.randint(1, span, (samples, count, 2), generator=g).float()
    labels = torch.randint(0, classes, (samples, count), generator=g)
    return torch.cat([corner, corner + side], 2), labels


def plain_nms(boxes, labels, limit):
    """One box after another, the best first."""
    kept = []
    for n, box in enumerate(boxes):
        of_class = [k for k in kept if labels[k] == labels[n]]
        if not of_class or overlaps(box[None], boxes[of_class]).max() <= limit:
            kept.append(n)
    return kept


cases = given(
    seed=st.integers(0, 2**31),
    samples=st.integers(1, 4),
    count=st.integers(1, 60),
    span=st.sampled_from([3, 8, 40]),
    classes=st.integers(1, 4),
    limit=st.sampled_from([0.0, 0.3, 0.5, 0.9]),
)


@cases
@settings(max_examples=10, deadline=None)
def test_boxes_that_stay_are_those_of_a_loop(seed, samples, count, span, classes, limit):
    boxes, labels = random_boxes(seed, samples, count, span, classes)
    stays = suppress(boxes, labels, limit)
    for each, of, found in zip(boxes, labels, stays, strict=True):
        assert found.nonzero().flatten().tolist() == plain_nms(each, of, limit)


@pytest.mark.slow  # the import
@cases
@settings(max_examples=20, deadline=None)
def test_overlaps_and_boxes_that_stay_are_those_of_torchvision(
    seed, samples, count, span, classes, limit
):
    ops = torchvision().ops
    boxes, labels = random_boxes(seed, samples, count, span, classes)
    scores = torch.linspace(1, 0.1, count)  # the best first
    for each, of, found in zip(boxes, labels, suppress(boxes, labels, limit), strict=True):
        torch.testing.assert_close(overlaps(each, each), ops.box_iou(each, each))
        if lacks_operators():
            continue  # a build without the compiled suppression
        kept = ops.batched_nms(each, scores, of, limit)
        assert found.nonzero().flatten().tolist() == kept.sort().values.tolist()


def test_a_box_that_is_left_out_leaves_no_other_out():
    """1 beats 2 and 2 would beat 3: 3 stays."""
    boxes = torch.tensor([[[0.0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10]]])
    assert suppress(boxes, torch.zeros(1, 3, dtype=int), 0.5).tolist() == [[True, False, True]]
    assert suppress(boxes, torch.arange(3)[None], 0.5).all()


def test_boxes_without_area_overlap_nothing():
    point = torch.tensor([[2.0, 2, 2, 2]])
    assert overlaps(point, point).item() == 0
    assert area(torch.tensor([[0.0, 0, 2, 5]])).item() == pytest.approx(10)
