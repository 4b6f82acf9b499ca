"""Weights of classes, compared with scikit-learn, torch and a sum written out."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch.nn.functional import cross_entropy

from asnn.core import ConfigError
from asnn.datasets.transforms.mixing import Targets
from asnn.tasks.class_weights import class_weights
from asnn.tasks.classification import Classification
from asnn.tasks.factory import create_task
from asnn.tasks.losses import Loss
from asnn.tasks.regression import Regression
from asnn.tasks.step_classification import StepClassification

NAMES = ["cat", "dog", "eel"]


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_balanced_is_that_of_scikit_learn(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    theirs = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
    ours = class_weights("balanced", [str(k) for k in range(len(counts))], torch.tensor(counts))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 10), min_size=3, max_size=3), st.integers(0, 2))
def test_the_mean_factor_of_the_samples_is_1_and_ratios_stay(weights, absent):
    counts = torch.tensor([7, 11, 2])
    counts[absent] = 0
    found = class_weights(weights, NAMES, counts).double()
    assert float((found * counts).sum() / counts.sum()) == pytest.approx(1, rel=1e-5)
    ratios = found / torch.tensor(weights, dtype=torch.float64)
    torch.testing.assert_close(ratios, ratios[:1].expand(3), rtol=1e-5, atol=0)


def test_a_table_names_some_classes():
    counts = torch.tensor([1, 1, 1])
    found = class_weights({"dog": 4.0}, NAMES, counts)
    torch.testing.assert_close(found, torch.tensor([0.5, 2.0, 0.5]))


@pytest.mark.parametrize(
    ("weights", "counts", "message"),
    [
        ([1, 2], [1, 1, 1], "has 2 numbers for 3 classes: the classes are cat, dog, eel"),
        ({"dgo": 1.0}, [1, 1, 1], "unknown class in train.class_weights 'dgo': choose from cat"),
        ([0, 0, 1], [3, 3, 0], "leaves no training sample with a weight"),
    ],
)
def test_what_is_no_weights_of_these_classes_is_refused(weights, counts, message):
    with pytest.raises(ConfigError, match=message):
        class_weights(weights, NAMES, torch.tensor(counts))


def task_with(weights, loss=None, labels=(0, 0, 0, 1, 1, 2)):
    task = Classification.of(3)
    if loss is not None:
        task.use_loss(loss)
    task.classes = NAMES
    task.use_class_weights(weights, torch.tensor(labels))
    return task


LOGITS = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 2, 1, 0, 0, 1])
WEIGHTS = [1.0, 2.0, 5.0]
FACTORS = torch.tensor(WEIGHTS) * 6 / (3 * 1 + 2 * 2 + 1 * 5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_a_sample_has_the_weight_of_its_class(smoothing):
    """Torch weighs the spread part of label smoothing by each class; here the sample counts."""
    task = task_with(WEIGHTS, Loss(label_smoothing=smoothing))
    log_p = LOGITS.mean(0).log_softmax(1)
    expected = 0.0
    for b, y in enumerate(LABELS.tolist()):
        target = torch.full((3,), smoothing / 3)
        target[y] += 1 - smoothing
        expected += float(FACTORS[y] * -(target * log_p[b]).sum()) / 6
    found = task.loss(LOGITS, Targets(LABELS, LABELS, 1.0))
    assert float(found) == pytest.approx(expected, rel=1e-5)
    if not smoothing:  # torch's, but for the divisor
        theirs = cross_entropy(LOGITS.mean(0), LABELS, FACTORS, reduction="sum") / 6
        torch.testing.assert_close(found, theirs)


def test_of_mixed_samples_each_label_has_its_weight():
    task, other = task_with(WEIGHTS), LABELS.flip(0)
    first, second = (
        (FACTORS[y] * cross_entropy(LOGITS.mean(0), y, reduction="none")).mean()
        for y in (LABELS, other)
    )
    found = task.loss(LOGITS, Targets(LABELS, other, 0.3))
    torch.testing.assert_close(found, 0.3 * first + 0.7 * second)


def test_tet_weighs_each_step():
    task = task_with(WEIGHTS, Loss(name="tet"))
    steps = [(FACTORS[LABELS] * cross_entropy(x, LABELS, reduction="none")).mean() for x in LOGITS]
    found = task.loss(LOGITS, Targets(LABELS, LABELS, 1.0))
    torch.testing.assert_close(found, sum(steps) / 4)


def test_parts_of_a_batch_add_up_to_the_batch():
    """As accumulation and several processes need; torch's own division does not (control)."""
    task = task_with(WEIGHTS)
    whole = task.loss(LOGITS, Targets(LABELS, LABELS, 1.0))
    parts = [
        task.loss(LOGITS[:, part], Targets(LABELS[part], LABELS[part], 1.0))
        for part in (slice(0, 3), slice(3, 6))
    ]
    torch.testing.assert_close(whole, sum(parts) / 2)
    answer = LOGITS.mean(0)
    theirs = [cross_entropy(answer[s], LABELS[s], FACTORS) for s in (slice(0, 3), slice(3, 6))]
    assert not torch.allclose(cross_entropy(answer, LABELS, FACTORS), sum(theirs) / 2)


def test_steps_are_weighed_by_their_class():
    task = StepClassification()
    task.classes, task.outputs = NAMES, 3
    y = torch.tensor([[0, 0, -1, 1], [2, 0, 1, -1]])
    task.use_class_weights(WEIGHTS, y)
    factors = torch.tensor(WEIGHTS) * 6 / (3 * 1 + 2 * 2 + 1 * 5)
    logits = LOGITS[:, :2]
    expected, labelled = 0.0, 0
    for t in range(4):
        for b in range(2):
            if y[b, t] >= 0:
                p = logits[t, b].log_softmax(0)
                expected -= float(factors[y[b, t]] * p[y[b, t]])
                labelled += 1
    found = task.loss(logits, Targets(y, y, 1.0))
    assert float(found) == pytest.approx(expected / labelled, rel=1e-5)


def test_a_task_without_classes_is_refused():
    with pytest.raises(ConfigError, match="the task regression does not weigh classes"):
        create_task("regression").use_class_weights("balanced", torch.zeros(3))
    assert isinstance(create_task("regression"), Regression)
