"""A training by the loss of the decision that never decides early says so."""

from types import SimpleNamespace

import pytest

from asnn.learning.monitoring.decisions import never_early


def training(means, loss="rank", steps=20):
    history = [{"epoch": i, "validation_mean_step": mean} for i, mean in enumerate(means, 1)]
    return SimpleNamespace(
        recipe=SimpleNamespace(train=SimpleNamespace(loss=loss)),
        progress=SimpleNamespace(history=history),
        model=SimpleNamespace(coding=SimpleNamespace(steps=steps)),
    )


def test_what_is_said():
    text = never_early(training([20.0, 19.97, 20.0]))
    assert "no epoch has decided before the last step (mean step 19.97 of 20)" in text
    assert "lower readout.level" in text


@pytest.mark.parametrize(
    ("means", "loss"),
    [([20.0, 18.4], "rank"), ([20.0, 20.0], "mean"), ([], "rank"), ([1.0], "rank-published")],
)
def test_others_say_nothing(means, loss):
    assert never_early(training(means, loss)) is None
