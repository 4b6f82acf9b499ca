"""Boxes on a page: which samples are worst, and what the pictures say."""

import pytest
import torch

from asnn.datasets.base import Split
from asnn.datasets.boxes import pack
from asnn.reports.answers.boxes import (
    precision_over_recall,
    samples_with_boxes,
    worst_samples,
)

NAN = [float("nan")] * 6
BOX = [2.0, 2, 10, 10]
TARGETS = pack([torch.tensor([BOX, [10.0, 0, 16, 6]])] * 3, [torch.tensor([0, 1])] * 3)
FOUND = torch.tensor(
    [
        [[*BOX, 0, 0.9], [10, 0, 16, 6, 1, 0.4], [0, 0, 4, 4, 0, 0.3]],  # all; a weak wrong one
        [[*BOX, 1, 0.9], [0, 0, 4, 4, 0, 0.8], NAN],  # none of two, two wrong
        [[*BOX, 0, 0.9], NAN, NAN],  # one of two
    ]
)


def test_samples_are_ordered_by_missed_and_likely_wrong_boxes():
    assert worst_samples(FOUND, TARGETS) == [1, 2]
    assert worst_samples(FOUND[:1], TARGETS[:1]) == []


@pytest.mark.slow
def test_pictures_say_what_is_found():
    split = Split(torch.rand(3, 1, 16, 16), TARGETS)
    drawing = samples_with_boxes(split, 1.0, FOUND, ["ant", "b<e>e"], [0, 1, 2])
    assert drawing.alt == (
        "Boxes: sample 0 2 of 2 found, 0 wrong, sample 1 0 of 2 found, 2 wrong and sample 2 1 of 2 "
        "found, 0 wrong."
    )
    texts = [text.get_text() for axes in drawing.figure.axes for text in axes.texts]
    assert texts == ["ant 90", "b<e>e 40", "b<e>e 90", "ant 80", "ant 90"]


@pytest.mark.slow
def test_precision_is_told_at_three_recalls():
    falling = [1 - k / 200 for k in range(101)]
    said = precision_over_recall(falling, 0.75).alt.replace("\N{NO-BREAK SPACE}", " ")
    assert said == (
        "Precision 88 % at a recall of 25 %, 75 % at a recall of 50 % and 62 % at a recall of "
        "75 %; AP50 75.0 %."
    )
