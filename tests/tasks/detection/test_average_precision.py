"""Average precision: by hand, and equal to COCO's own evaluation."""

import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asnn.datasets.boxes import pack
from asnn.tasks.detection.average_precision import (
    AREAS,
    RECALLS,
    THRESHOLDS,
    Objects,
    curves,
    judged,
    mean,
    precision_of,
)
from asnn.tasks.detection.meter import average_precision_of, metrics_of, objects_of

TRUE = [0.0, 0, 10, 10]


def objects(*rows):
    """(sample, class, box, score) each."""
    boxes = np.array([row[2] for row in rows], float).reshape(-1, 4)
    sample, label, score = (np.array([row[i] for row in rows]) for i in (0, 1, 3))
    return Objects(sample.astype(int), label.astype(int), boxes, score.astype(float))


def at(found, truth, threshold=0.5, classes=1):
    return curves(objects(*found), objects(*truth), classes, thresholds=(threshold,))


def test_one_box_that_is_right():
    for threshold, expected in ((0.5, 1.0), (0.79, 1.0), (0.81, 0.0)):
        of = at([(0, 0, [0, 0, 10, 8], 0.9)], [(0, 0, TRUE, 1)], threshold)  # IoU .8
        assert mean(of.precision[..., 0]) == pytest.approx(expected)


def test_a_better_box_that_is_wrong_halves_the_precision():
    found = [(0, 0, TRUE, 0.5), (0, 0, [50, 50, 60, 60], 0.9)]
    of = at(found, [(0, 0, TRUE, 1)])
    assert of.precision[0, :, 0, 0] == pytest.approx(0.5)


def test_recall_ends_where_objects_are_missed():
    """Two of three objects are found, with a wrong box between them: precision 1 up to the recall
    1/3, 2/3 up to 2/3, then 0."""
    truth = [(0, 0, TRUE, 1), (1, 0, TRUE, 1), (2, 0, TRUE, 1)]
    found = [(0, 0, TRUE, 0.9), (0, 0, [50, 50, 60, 60], 0.8), (1, 0, TRUE, 0.7)]
    of = at(found, truth)
    expected = np.where(RECALLS <= 1 / 3, 1, np.where(RECALLS <= 2 / 3, 2 / 3, 0))
    np.testing.assert_allclose(of.precision[0, :, 0, 0], expected, atol=1e-12)
    assert of.recall[0, 0, 0].tolist() == pytest.approx([2 / 3] * 3)


def test_a_second_box_of_an_object_and_one_of_another_class_are_wrong():
    twice = [(0, 0, TRUE, 0.9), (0, 0, TRUE, 0.8)]
    of = at(twice, [(0, 0, TRUE, 1), (1, 0, TRUE, 1)])
    assert of.recall[0, 0, 0, 2] == 0.5
    of = at([(0, 1, TRUE, 0.9)], [(0, 0, TRUE, 1)], classes=2)
    assert mean(of.precision[..., 0]) == 0.0
    assert np.isnan(of.precision[:, :, 1]).all()


def test_boxes_of_the_next_sample_find_nothing():
    random = np.random.default_rng(0)
    corners = random.uniform(0, 80, (60, 2))
    truth = [(n, n % 3, [*corner, *(corner + 16)], 1) for n, corner in enumerate(corners)]
    right = [(n, k, box, 0.9) for n, k, box, _ in truth]
    wrong = [((n + 1) % 60, k, box, 0.9) for n, k, box, _ in truth]
    assert mean(at(right, truth, classes=3).precision) == pytest.approx(1)
    assert mean(at(wrong, truth, classes=3).precision) < 0.02


def coco(found, truth, classes, samples):
    """Return precision and recall of pycocotools, NaN for -1."""
    coco_module = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    def annotations(of):
        return [
            {"image_id": int(s), "category_id": int(k), "score": float(score), "iscrowd": 0}
            | {"bbox": [b[0], b[1], b[2] - b[0], b[3] - b[1]]}
            | {"area": (b[2] - b[0]) * (b[3] - b[1]), "id": n + 1}
            for n, (s, k, b, score) in enumerate(
                zip(of.sample, of.label, of.boxes.tolist(), of.score, strict=True)
            )
        ]

    with contextlib.redirect_stdout(io.StringIO()):
        true = coco_module.COCO()
        true.dataset = {
            "images": [{"id": n} for n in range(samples)],
            "categories": [{"id": k} for k in range(classes)],
            "annotations": annotations(truth),
            "info": {},
        }
        true.createIndex()
        ours = coco_module.COCO()
        ours.dataset = {**true.dataset, "annotations": annotations(found)}
        ours.createIndex()
        evaluation = COCOeval(true, ours, "bbox")
        evaluation.params.imgIds = list(range(samples))
        evaluation.params.catIds = list(range(classes))
        evaluation.evaluate()
        evaluation.accumulate()
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    precision = np.where(precision[..., 2] < 0, np.nan, precision[..., 2])
    return precision, np.where(recall < 0, np.nan, recall)


def random_objects(random, count, samples, classes, span, ties):
    """Boxes on a coarse grid, so that overlaps and scores are often equal."""
    corner = random.integers(0, span, (count, 2))
    side = random.integers(1, span, (count, 2)) * random.choice([1, 1, 4], (count, 1))
    boxes = np.concatenate([corner, corner + side], 1).astype(float)
    score = random.integers(1, ties, count) / ties
    order = np.argsort(random.integers(0, samples, count), kind="stable")
    sample = np.sort(random.integers(0, samples, count))
    return Objects(sample, random.integers(0, classes, count), boxes[order], score)


def compared(seed, found, true, samples, classes, span, ties):
    random = np.random.default_rng(seed)
    ours = random_objects(random, found, samples, classes, span, ties)
    truth = random_objects(random, true, samples, max(1, classes - 1), span, ties)
    of = curves(ours, truth, classes)
    precision, recall = coco(ours, truth, classes, samples)
    np.testing.assert_allclose(of.precision, precision, atol=1e-6)
    np.testing.assert_allclose(of.recall, recall, atol=1e-6)
    return mean(of.precision)


SMALL = {
    "seed": st.integers(0, 2**32 - 1),
    "found": st.integers(0, 60),
    "true": st.integers(1, 40),
    "samples": st.integers(1, 8),
    "classes": st.integers(1, 4),
    "span": st.sampled_from([4, 12, 40, 90]),
    "ties": st.sampled_from([2, 5, 10_000]),
}
"""Boxes of a case."""


@given(**SMALL)
@settings(max_examples=5, deadline=None)
def test_precision_and_recall_are_those_of_coco(**case):
    compared(**case)


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**32 - 1),
    found=st.integers(0, 300),
    true=st.integers(1, 100),
    samples=st.integers(1, 12),
    classes=st.integers(1, 5),
    span=st.sampled_from([3, 4, 12, 40, 90, 200]),
    ties=st.sampled_from([2, 5, 10_000]),
)
@settings(max_examples=80, deadline=None)
def test_precision_and_recall_are_those_of_coco_at_length(**case):
    compared(**case)


def test_more_than_a_hundred_boxes_of_a_class_in_a_sample_are_those_of_coco():
    assert compared(seed=1, found=260, true=30, samples=1, classes=2, span=12, ties=20) > 0


def test_sides_that_count_both_ends_are_seen(monkeypatch):
    """Negative control: with the old convention w = x2 - x1 + 1 the comparison must fail."""
    from asnn.tasks.detection import average_precision

    real = average_precision._overlaps
    longer = np.array([0, 0, 1, 1])
    monkeypatch.setattr(average_precision, "_overlaps", lambda a, b: real(a + longer, b + longer))
    with pytest.raises(AssertionError):
        compared(seed=3, found=200, true=30, samples=3, classes=2, span=12, ties=5)


def judged_alone(ours, truth, classes):
    """The precision of samples that are judged one after another."""
    verdict = np.zeros(len(ours.sample))
    for n in np.unique(ours.sample):
        of = ours.sample == n
        verdict[of] = judged(ours.take(of), truth.take(truth.sample == n), 0.5)
    positives = np.bincount(truth.label, minlength=classes)
    return precision_of(ours.label, ours.score, verdict, positives)


@given(**SMALL)
@example(seed=1, found=260, true=30, samples=1, classes=2, span=12, ties=20)
@settings(max_examples=30, deadline=None)
def test_samples_judged_one_after_another_have_the_precision_of_all_to_the_bit(
    seed, found, true, samples, classes, span, ties
):
    random = np.random.default_rng(seed)
    ours = random_objects(random, found, samples, classes, span, ties)
    truth = random_objects(random, true, samples, max(1, classes - 1), span, ties)
    of = curves(ours, truth, classes, thresholds=(0.5,), areas=(AREAS["all"],))
    alone = judged_alone(ours, truth, classes)
    assert np.array_equal(alone, of.precision[0, :, :, 0], equal_nan=True)


def test_boxes_judged_by_those_of_another_sample_are_seen():
    """Negative control of the test before."""
    random = np.random.default_rng(3)
    ours, truth = (random_objects(random, n, 4, 2, 12, 5) for n in (60, 40))
    of = curves(ours, truth, 2, thresholds=(0.5,), areas=(AREAS["all"],)).precision[0, :, :, 0]
    assert np.array_equal(judged_alone(ours, truth, 2), of)
    moved = replace(truth, sample=(truth.sample + 1) % 4)
    moved = moved.take(np.argsort(moved.sample, kind="stable"))
    assert not np.array_equal(judged_alone(ours, moved, 2), of)


def test_the_tables_of_a_meter_give_the_same_metrics():
    random = np.random.default_rng(5)
    truth = random_objects(random, 60, 10, 3, 40, 5)
    of_each = [np.flatnonzero(truth.sample == n) for n in range(10)]
    targets = pack(
        [torch.from_numpy(truth.boxes[n]) for n in of_each],
        [torch.from_numpy(truth.label[n]) for n in of_each],
    )
    found = torch.cat([targets, torch.rand(10, targets.shape[1], 1)], 2)
    found[0] = torch.nan
    values = metrics_of(found, targets, 4)
    of = curves(objects_of(found), objects_of(targets), 4)
    assert values["map"] == mean(of.precision[..., 0])
    assert values["ap50_per_class"][3] is None  # a class without an object
    assert len(values["precision_recall"]) == 101
    assert values["objects"] == 60
    assert values["boxes"] == 60 - len(of_each[0])
    assert values["recall_at_100"] == pytest.approx(np.nanmean(of.recall[:, :, 0, 2]))
    assert average_precision_of(found, targets, 4) == pytest.approx(values["map"])
    assert metrics_of(found, torch.full((10, 1, 5), torch.nan), 4)["map"] is None
    assert list(AREAS) == ["all", "small", "medium", "large"]
    assert THRESHOLDS[5] == 0.75
