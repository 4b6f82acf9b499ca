"""Answers against their formulas, computed in numpy sample by sample."""

import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.core import ConfigError
from asnn.measure.early_exit import ExitRule
from asnn.measure.prediction.answers import answer_registry, answers_of
from asnn.measure.prediction.answers.classes import ClassAnswers
from asnn.measure.prediction.answers.values import ValueAnswers
from asnn.models.readouts import create_readout
from asnn.tasks import Task, create_task

LABELS = ["ant", "bee", "cat", "dog"]
CLASSES = create_task("classification")


def readout(name="mean", **options):
    with torch.device("meta"):
        return create_readout(name, 1, 1, steps=5, scaled=False, **options)


def answers(readout, exit=None, top=1, task=CLASSES):
    return answers_of(task)(task, LABELS, 4, readout, exit, top)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def outputs_of(seed, steps=5, batch=3):
    return torch.from_numpy(
        np.random.default_rng(seed).normal(0, 2, (steps, batch, 4)).astype(np.float32)
    )


@given(st.integers(0, 1000), st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_the_class_is_that_of_the_mean_of_the_logits(seed, top):
    outputs = outputs_of(seed)
    found = answers(readout(), top=top).of(outputs)
    for b, fields in enumerate(found):
        probability = softmax(outputs[:, b].numpy().astype(np.float64).mean(0))
        order = np.argsort(-probability)[:top]
        assert [each.index for each in fields["top"]] == order.tolist()
        assert [each.label for each in fields["top"]] == [LABELS[k] for k in order]
        confidence = [each.confidence for each in fields["top"]]
        assert confidence == pytest.approx(probability[order], abs=1e-6)
        first = fields["top"][0]
        assert (fields["label"], fields["index"]) == (first.label, first.index)
        assert (fields["step"], fields["decided"]) == (5, True)


@given(st.integers(0, 1000), st.floats(0.3, 0.99))
@settings(max_examples=20, deadline=None)
def test_early_exit_is_at_the_first_step_with_the_confidence(seed, threshold):
    outputs = outputs_of(seed)
    found = answers(readout(), ExitRule("confidence", threshold)).of(outputs)
    for b, fields in enumerate(found):
        means = [outputs[: t + 1, b].numpy().astype(np.float64).mean(0) for t in range(5)]
        confident = [t for t in range(5) if softmax(means[t]).max() >= threshold]
        step = confident[0] if confident else 4
        assert (fields["step"], fields["decided"]) == (step + 1, bool(confident))
        assert fields["index"] == int(means[step].argmax())
        assert fields["confidence"] == pytest.approx(softmax(means[step]).max(), abs=1e-6)


def test_a_readout_that_decides_gives_its_step():
    outputs = torch.zeros(5, 2, 4)
    outputs[2:, 0, 1] = 3.0
    first = readout("first-crossing", quantity="potential", level=2.0)
    decided, undecided = answers(first).of(outputs)
    assert (decided["label"], decided["step"], decided["decided"]) == ("bee", 3, True)
    assert (undecided["step"], undecided["decided"]) == (5, False)


def test_equal_scores_name_the_first_class():
    (found,) = answers(readout(), top=4).of(torch.zeros(2, 1, 4))
    assert [each.label for each in found["top"]] == LABELS
    assert found["confidence"] == 0.25


def test_each_step_has_its_class():
    outputs = outputs_of(1)
    found = answers(readout(), task=create_task("step-classification")).of(outputs)
    for b, fields in enumerate(found):
        probability = softmax(outputs[:, b].numpy().astype(np.float64))
        assert fields["labels"] == tuple(LABELS[k] for k in probability.argmax(1))
        assert fields["confidences"] == pytest.approx(probability.max(1), abs=1e-6)


def test_values_are_the_mean_or_the_last_or_those_of_each_step():
    outputs = outputs_of(2)
    mean = answers(readout(), task=create_task("regression")).of(outputs)
    last = answers(readout("last"), task=create_task("regression")).of(outputs)
    steps = answers(readout(), task=create_task("regression", at="steps")).of(outputs)
    for b in range(3):
        assert mean[b]["values"] == pytest.approx(outputs[:, b].mean(0).tolist(), abs=1e-6)
        assert last[b]["values"] == outputs[-1, b].tolist()
        assert steps[b]["values"] == outputs[:, b].tolist()


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        (create_task("classification"), "class"),
        (create_task("step-classification"), "class of each step"),
        (create_task("regression"), "values"),
        (create_task("regression", at="steps"), "values of each step"),
        (create_task("reconstruction"), "log-odds"),
        (create_task("reconstruction", loss="mse"), "values"),
        (create_task("detection"), "boxes"),
        (create_task("flow"), "flow"),
    ],
)
def test_each_task_has_its_answers(task, kind):
    assert answers_of(task).kind == kind


class Sound(Task):
    name = "sound"


def test_tasks_that_name_no_answers_are_refused():
    with pytest.raises(ConfigError, match="the answers of the task sound cannot be shown") as found:
        answers_of(Sound())
    assert "class, step-classes, values" in found.value.why
    unknown = Sound()
    unknown.answers = "valuse"
    with pytest.raises(ConfigError, match="unknown answer 'valuse'") as found:
        answers_of(unknown)
    assert found.value.remedy == "did you mean 'values'?"


def test_tasks_of_other_packages_name_answers_of_theirs_or_of_ours(monkeypatch):
    class Heard(ValueAnswers):
        kind = "what is heard"

    points = [EntryPoint("heard", "heard:Heard", "asnn.answers")]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    monkeypatch.setitem(sys.modules, "heard", SimpleNamespace(Heard=Heard))
    monkeypatch.delitem(vars(answer_registry), "_external", raising=False)
    task = Sound()
    for name, expected in (("values", ValueAnswers), ("heard", Heard)):
        task.answers = name
        assert answers_of(task) is expected
    vars(answer_registry).pop("_external")
    task.answers, task.one_class = "", True
    assert answers_of(task) is ClassAnswers


@pytest.mark.parametrize("options", [{"top": 2}, {"exit": ExitRule("confidence", 0.9)}])
@pytest.mark.parametrize("task", ["regression", "step-classification"])
def test_options_of_one_class_are_refused_elsewhere(task, options):
    with pytest.raises(ConfigError, match="is for networks that answer with one class"):
        answers(readout(), task=create_task(task), **options)
