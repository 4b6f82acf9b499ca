"""Boxes that move with their images and recordings."""

import itertools

import pytest
import torch

from asnn.coding.samples import EventBatch, SampleSpec
from asnn.core.errors import ConfigError
from asnn.datasets.boxes import of_sample, pack, present
from asnn.datasets.transforms.augment import Augment
from asnn.datasets.transforms.boxes import carry_boxes
from asnn.datasets.transforms.by_kind import make_augment
from asnn.datasets.transforms.events import EventAugment
from asnn.datasets.transforms.positions import Carrying, shifted

SIDE = 12
IMAGE = SampleSpec("image", (1, SIDE, SIDE))
EVENTS = SampleSpec("events", (2, SIDE, 2 * SIDE), duration=1_000)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def drawn_boxes(count, height, width, seed):
    """Each sample has a rectangle of every class, in a part of the sample of its own."""
    random = torch.Generator().manual_seed(seed)
    boxes, classes = [], []
    for _ in range(count):
        of_sample_ = []
        for top, left in itertools.product((0, height // 2), (0, width // 2)):
            x, y = torch.randint(0, 3, (2,), generator=random).tolist()
            w, h = torch.randint(1, 4, (2,), generator=random).tolist()
            of_sample_.append([left + x, top + y, left + x + w, top + y + h])
        boxes.append(torch.tensor(of_sample_))
        classes.append(torch.arange(4))
    return pack(boxes, classes)


def painted(targets, height, width):
    """Images with the value k + 1 in the boxes of class k."""
    images = torch.zeros(len(targets), 1, height, width)
    for image, rows in zip(images, targets, strict=True):
        boxes, classes = of_sample(rows)
        for (x1, y1, x2, y2), label in zip(boxes.int().tolist(), classes, strict=True):
            image[0, y1:y2, x1:x2] = (label + 1) / 8
    return images


def seen(image):
    """The boxes of the values of an image, by class."""
    found = {}
    for value in image.unique():
        if value > 0:
            y, x = (image == value).nonzero().T
            found[int(8 * value) - 1] = [x.min(), y.min(), x.max() + 1, y.max() + 1]
    return {k: [int(v) for v in box] for k, box in found.items()}


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


@pytest.mark.parametrize(
    "options",
    [{"flip": True}, {"rot90": True}, {"crop": 4}, {"flip": True, "rot90": True, "crop": 5}],
)
def test_boxes_are_where_their_pixels_are(options):
    y = drawn_boxes(24, SIDE, SIDE, 0)
    augment = make_augment(IMAGE, options, "boxes")
    x, targets = augment.apply(painted(y, SIDE, SIDE), y, epoch=0, generator=seeded(1))
    assert targets.weight == 1
    moved = left_out = 0
    for image, before, rows in zip(x, y, targets.first, strict=True):
        there = present(rows)
        assert there.tolist() == sorted(there.tolist(), reverse=True)
        boxes, classes = of_sample(rows)
        found = dict(zip(classes.tolist(), boxes.tolist(), strict=True))
        shown = seen(image[0])
        for label, box in enumerate(before[:, :4].tolist()):
            share = area(shown[label]) / area(box) if label in shown else 0
            if share < 0.25:
                left_out += 1
                assert label not in found
            else:
                assert found[label] == shown[label]
                moved += found[label] != box
    assert moved > 20
    assert (left_out > 0) == ("crop" in options)


def test_random_numbers_are_those_without_boxes():
    options = {"flip": True, "crop": 2, "erasing": 0.5}
    x, y = torch.rand(6, 1, SIDE, SIDE), drawn_boxes(6, SIDE, SIDE, 2)
    found, _ = make_augment(IMAGE, options, "boxes").apply(x, y, epoch=0, generator=seeded(3))
    other, _ = make_augment(IMAGE, options).apply(x, torch.arange(6), epoch=0, generator=seeded(3))
    assert torch.equal(found, other)


def test_targets_that_are_not_boxes_stay():
    """Negative control: the same values as real values do not move."""
    y = drawn_boxes(6, SIDE, SIDE, 4)
    x = torch.rand(6, 1, SIDE, SIDE)
    _, targets = make_augment(IMAGE, {"flip": True}).apply(x, y, epoch=0, generator=seeded(5))
    assert torch.equal(targets.first, y)


def test_boxes_of_recordings_move_with_their_events():
    height, width = EVENTS.shape[1:]
    y = drawn_boxes(20, height, width, 6)
    sample, _, row, column = painted(y, height, width).nonzero().T
    label = (8 * painted(y, height, width)[sample, 0, row, column]).long() - 1
    batch = EventBatch(label, column, row, label % 2, sample, 20, EVENTS.shape, 1_000)
    augment = make_augment(EVENTS, {"flip": True, "shift": 5, "stretch": 0.0}, "boxes")
    x, targets = augment.apply(
        batch, y, epoch=0, generator=seeded(7), samples=[seeded(s) for s in range(20)]
    )
    compared = 0
    for n, rows in enumerate(targets.first):
        boxes, classes = of_sample(rows)
        for box, k in zip(boxes.tolist(), classes, strict=True):
            of = (x.sample == n) & (x.t == k)
            low = [int(v[of].min()) for v in (x.x, x.y)]
            high = [int(v[of].max()) + 1 for v in (x.x, x.y)]
            assert box == [*low, *high]
            compared += 1
    assert compared > 40


def test_a_box_is_left_out_below_a_quarter_of_its_area():
    y = pack([torch.tensor([[0, 0, 4, 4]])], [torch.tensor([1])])
    for right, stays in ((-3, True), (-4, False), (SIDE - 1, True), (SIDE, False)):
        move = shifted(torch.tensor([right]), torch.tensor([0]))
        found = carry_boxes(y, move, height=SIDE, width=SIDE)
        assert present(found).item() == stays
    move = shifted(torch.tensor([-3]), torch.tensor([-1]))  # 3 of 16 pixels
    assert not present(carry_boxes(y, move, height=SIDE, width=SIDE)).any()
    assert carry_boxes(y[:0], move, height=SIDE, width=SIDE).shape == (0, 1, 5)


def test_options_that_would_leave_targets_wrong_are_refused_all_at_once():
    options = {"flip": True, "rotation": 5.0, "mixup": True, "cutmix": True}
    with pytest.raises(ConfigError) as error:
        make_augment(IMAGE, options, "boxes")
    assert str(error.value).startswith(
        "augment.rotation and augment.mixup and augment.cutmix would leave the boxes of the images "
        "wrong"
    )
    assert error.value.why == "images with boxes take flip, rot90, crop, erasing"
    with pytest.raises(ConfigError, match=r"augment.mix would leave the boxes of the recordings"):
        make_augment(EVENTS, {"mix": True}, "boxes")
    with pytest.raises(ConfigError, match="augment.[a-z]* and augment.[a-z]* would leave the flow"):
        make_augment(EVENTS, {"mix": True, "stretch": 0.5, "drop": 0.1}, "flow")
    series = SampleSpec("series", (4,), steps=20)
    with pytest.raises(ConfigError, match="augment.noise would leave the flow of the series"):
        make_augment(series, {"noise": 0.1}, "flow")


def test_augmentation_that_moves_nothing_is_the_plain_one():
    assert make_augment(IMAGE, {"erasing": 0.1}, "boxes") == Augment(erasing=0.1)
    assert make_augment(EVENTS, {"drop": 0.1}, "flow") == EventAugment(drop=0.1)
    assert isinstance(make_augment(IMAGE, {"flip": True}, "boxes"), Carrying)
