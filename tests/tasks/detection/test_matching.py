"""Right boxes and found ones, by hand and against the evaluation of all samples."""

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asnn.tasks.detection.average_precision import curves
from asnn.tasks.detection.matching import matches
from asnn.tasks.detection.meter import objects_of

NAN = [float("nan")] * 6


def test_a_true_box_is_taken_once_by_the_best_box_of_its_class():
    truth = torch.tensor([[0.0, 0, 10, 10, 1], [20, 0, 30, 10, 0], NAN[:5]])
    found = torch.tensor(
        [
            [1.0, 0, 10, 10, 1, 0.9],  # right
            [0, 0, 10, 10, 1, 0.8],  # its true box is taken
            [20, 0, 30, 10, 1, 0.7],  # another class
            [20, 0, 30, 4, 0, 0.6],  # overlaps by .4
            NAN,
        ]
    )
    right, hit = matches(found, truth)
    assert right.tolist() == [True, False, False, False, False]
    assert hit.tolist() == [True, False, False]
    right, hit = matches(found, truth, overlap=0.4)
    assert right.tolist() == [True, False, False, True, False]
    assert hit.tolist() == [True, True, False]


def test_without_boxes_nothing_is_right():
    right, hit = matches(torch.tensor([NAN]), torch.tensor([NAN[:5]]))
    assert not right.any() and not hit.any()


@given(st.integers(0, 10_000))
@example(3176)  # equal overlaps
@settings(max_examples=30, deadline=None)
def test_found_ones_are_the_recall_of_the_evaluation(seed):
    generator = torch.Generator().manual_seed(seed)

    def rows(count, columns):
        corner = torch.randint(0, 12, (count, 2), generator=generator).float()
        side = torch.randint(4, 10, (count, 2), generator=generator).float()
        label = torch.randint(0, 2, (count, 1), generator=generator).float()
        score = torch.rand(count, columns - 5, generator=generator).sort(0, descending=True).values
        return torch.cat([corner, corner + side, label, score], 1)

    found, truth = rows(6, 6), rows(5, 5)
    _, hit = matches(found, truth)
    of = curves(objects_of(found[None]), objects_of(truth[None]), 2, thresholds=(0.5,))
    for label in (0, 1):
        mine = hit[truth[:, 4] == label]
        if len(mine):
            assert float(mine.double().mean()) == of.recall[0, label, 0, -1]
