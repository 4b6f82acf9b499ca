"""Precision, recall, F1 and top-k accuracy, compared with scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support, top_k_accuracy_score

from asnn.tasks.class_scores import SCORES, class_scores
from asnn.tasks.outcomes import Outcomes

LABELS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40)


def as_number(value):
    return np.nan if value is None else value


@pytest.mark.slow
@settings(deadline=None)
@given(LABELS)
def test_scores_are_those_of_scikit_learn(pairs):
    true, predicted = np.array(pairs).T
    confusion = np.zeros((5, 5), int)
    np.add.at(confusion, (true, predicted), 1)
    found = class_scores(confusion.tolist())
    for average in (None, "macro", "weighted"):
        theirs = precision_recall_fscore_support(
            true, predicted, labels=range(5), average=average, zero_division=np.nan
        )
        for score, expected in zip(SCORES, theirs, strict=False):
            rows = found["by_class"] if average is None else [found[average]]
            known = [row["support"] for row in found["by_class"] if row[score] is not None]
            if average == "weighted" and not sum(known):
                assert found[average][score] is None  # theirs is then the mean without weights
                continue
            ours = [as_number(row[score]) for row in rows]
            np.testing.assert_allclose(ours, np.atleast_1d(expected), rtol=1e-9)
    support = np.bincount(true, minlength=5)
    assert [row["support"] for row in found["by_class"]] == support.tolist()
    predictions = np.bincount(predicted, minlength=5)
    assert [row["predicted"] for row in found["by_class"]] == predictions.tolist()


def test_what_is_undefined_is_none_with_the_reason():
    # a is predicted for all, b occurs and is never predicted, c does neither.
    found = class_scores([[3, 0, 0], [1, 0, 0], [0, 0, 0]], ["a", "b", "c"])
    a, b, c = found["by_class"]
    assert (a["precision"], a["recall"], a["f1"], a["undefined"]) == (0.75, 1.0, 6 / 7, {})
    assert (b["precision"], b["recall"], b["f1"]) == (None, 0.0, 0.0)
    assert b["undefined"] == {"precision": "never predicted"}
    assert (c["precision"], c["recall"], c["f1"]) == (None, None, None)
    assert c["undefined"] == {
        "precision": "never predicted",
        "recall": "not in the data",
        "f1": "not in the data, never predicted",
    }
    assert found["macro"] == {"precision": 0.75, "recall": 0.5, "f1": 3 / 7}
    empty = class_scores([[0, 0], [0, 0]])
    assert empty["macro"] == empty["weighted"] == dict.fromkeys(SCORES)


@pytest.mark.parametrize("k", [1, 2, 5, 6])
def test_top_k_accuracy_is_that_of_scikit_learn(k):
    seeded = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 50, 6, generator=seeded)
    labels = torch.randint(0, 6, (50,), generator=seeded)
    outcomes = Outcomes.of(logits, labels)
    theirs = top_k_accuracy_score(labels, logits[-1], k=k, labels=range(6)) if k < 6 else 1.0
    assert outcomes.top_k_accuracy(k) == pytest.approx(theirs)


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.lists(st.integers(-1, 1), min_size=4, max_size=4), min_size=1, max_size=9))
def test_of_equal_logits_the_first_class_is_the_greater_as_in_predictions(logits):
    x = torch.tensor(logits, dtype=torch.float32)[None]
    for label in range(4):
        labels = torch.full((x.shape[1],), label)
        outcomes = Outcomes.of(x, labels)
        assert torch.equal(outcomes.ranks == 0, outcomes.correct[-1])
        assert outcomes.top_k_accuracy(4) == 1
