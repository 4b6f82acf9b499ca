"""A class for each step, against loops over samples and steps."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.coding import create_coding
from asnn.coding.samples import SampleSpec
from asnn.core import ConfigError, DataError
from asnn.datasets import Split
from asnn.datasets.base import DataSet
from asnn.datasets.transforms.mixing import Targets
from asnn.learning import check_recipe
from asnn.models import create_model
from asnn.tasks import create_task
from asnn.tasks.factory import task_registry
from asnn.tasks.losses import Loss
from asnn.tasks.step_classification import change_latencies

N, T, K = 6, 9, 3


def drawn(seed=0):
    random = np.random.default_rng(seed)
    outputs = torch.from_numpy(random.normal(size=(T, N, K)).astype(np.float32))
    labels = torch.from_numpy(random.integers(-1, K, (N, T)))
    return outputs, labels


def data(targets, classes=("a", "b", "c")):
    split = Split(torch.zeros(len(targets), T, 2), targets)
    spec = SampleSpec("series", (2,), steps=T)
    return DataSet("d", split, split, split, list(classes), 255.0, "", spec)


def bound(labels, fit="exact", steps=T):
    task, code = create_task("step-classification"), create_coding("given", steps=steps, fit=fit)
    code.bind(SampleSpec("series", (2,), steps=T))
    task.bind(data(labels), code)
    return task


def one(value):
    return value


def measured(outputs, labels, **options):
    meter = bound(labels, **options).meter(len(outputs))
    meter.add(outputs[:, :4], labels[:4])
    meter.add(outputs[:, 4:], labels[4:])
    return meter.result(one, one)


def test_metrics_equal_those_of_a_loop():
    outputs, labels = drawn()
    found = measured(outputs, labels)
    confusion, loss, steps = np.zeros((K, K), int), 0.0, 0
    for n in range(N):
        for t in range(T):
            y = int(labels[n, t])
            if y < 0:
                continue
            logits = outputs[t, n].double().numpy()
            loss += math.log(np.exp(logits).sum()) - logits[y]
            confusion[y, logits.argmax()] += 1
            steps += 1
    values = found.values
    assert found.samples == N and found.outcomes is None
    assert values["confusion"] == confusion.tolist()
    assert values["labelled_steps"] == steps
    assert values["accuracy"] == pytest.approx(confusion.trace() / steps)
    recalls = confusion.diagonal() / confusion.sum(1)
    assert values["accuracy_per_class"] == pytest.approx(recalls)
    assert values["balanced_accuracy"] == pytest.approx(recalls.mean())
    assert values["loss"] == pytest.approx(loss / steps, rel=1e-6)


def test_loss_and_score_of_a_batch():
    outputs, labels = drawn()
    task = bound(labels)
    targets = Targets(labels, labels, 1.0)
    assert float(task.loss(outputs, targets)) == pytest.approx(
        measured(outputs, labels).values["loss"], rel=1e-6
    )
    hits = (labels == outputs.argmax(2).T) & (labels >= 0)
    shares = [float(hits[n].sum()) / max(int((labels[n] >= 0).sum()), 1) for n in range(N)]
    assert task.score(outputs, targets) == pytest.approx(sum(shares))


def test_unlabelled_steps_count_nowhere():
    outputs, labels = drawn()
    changed = outputs.clone()
    changed[(labels.T == -1)] += 100 * torch.randn(K)
    assert measured(changed, labels).values["loss"] == measured(outputs, labels).values["loss"]
    # Negative control: a change at labelled steps is seen.
    changed[(labels.T != -1)] += 100 * torch.randn(K)
    assert measured(changed, labels).values["loss"] != measured(outputs, labels).values["loss"]


def test_no_labels_at_all_give_zero_and_gradients_that_are_finite():
    outputs = torch.randn(T, N, K, requires_grad=True)
    none = torch.full((N, T), -1)
    loss = bound(none).loss(outputs, Targets(none, none, 1.0))
    loss.backward()
    assert float(loss.detach()) == 0 and bool((outputs.grad == 0).all())
    values = measured(outputs.detach(), none).values
    assert (values["accuracy"], values["loss"], values["change_latency"]) == (0, 0, None)
    assert values["accuracy_per_class"] == [None] * K


def latencies_of_a_loop(labels, predictions):
    found = []
    for y, p in zip(labels, predictions, strict=True):
        for t in range(1, len(y)):
            if y[t] == y[t - 1] or y[t] < 0 or y[t - 1] < 0:
                continue
            end = t
            while end < len(y) and y[end] == y[t]:
                end += 1
            right = [s - t for s in range(t, end) if p[s] == y[t]]
            found.append(right[0] if right else -1)
    return found


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 5), st.integers(1, 30), st.integers(0, 2**31))
def test_change_latencies_equal_those_of_a_loop(samples, steps, seed):
    random = np.random.default_rng(seed)
    labels = np.repeat(random.integers(-1, 3, (samples, steps)), 2, 1)[:, :steps]
    predictions = random.integers(0, 3, (samples, steps))
    expected = latencies_of_a_loop(labels.tolist(), predictions.tolist())
    assert change_latencies(labels, predictions).tolist() == expected


def test_change_latencies_by_hand():
    labels = np.array([[0, 0, 1, 1, 1, 0, -1, 1, 2]])
    predicted = np.array([[0, 0, 0, 1, 1, 1, 1, 1, 2]])
    # 0 → 1 at step 2 is followed after 1 step, 1 → 0 never, 1 → 2 at once; none follows a gap.
    assert change_latencies(labels, predicted).tolist() == [1, -1, 0]
    values = measured(
        torch.nn.functional.one_hot(torch.from_numpy(predicted).T.repeat(1, N), 3).float(),
        torch.from_numpy(labels).repeat(N, 1),
    ).values
    assert values["changes"] == 3 * N
    assert values["change_latency"] == 0.5
    assert values["changes_missed"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("fit", ["mean", "sum"])
def test_labels_of_joined_steps(fit):
    labels = torch.tensor([[0, 1, 2, -1, -1, -1, 1, -1, -1]] * N)
    # Nine steps in three windows of three: the last label of each, -1 only if there is none.
    task = bound(labels, fit=fit, steps=3)
    assert task._labels(labels, 3).T[0].tolist() == [2, -1, 1]
    ends = torch.tensor([[0, 1, 2, -1, -1, -1, 1, 2, 0]] * N)
    assert task._labels(ends, 3).T[0].tolist() == [2, -1, 0]


def test_labels_of_the_first_steps():
    _, labels = drawn()
    assert torch.equal(bound(labels, fit="crop", steps=4)._labels(labels, 4), labels.T[:4])
    assert torch.equal(bound(labels)._labels(labels, 2), labels.T[:2])


@pytest.mark.parametrize("name", ["step-classification", "regression"])
def test_mixed_samples_are_refused(name):
    y = torch.zeros(N, T, dtype=torch.int64)
    with pytest.raises(ConfigError, match="cannot train on mixed samples") as refused:
        create_task(name).loss(torch.zeros(T, N, K), Targets(y, y, 0.7))
    assert "augment.mixup" in refused.value.remedy


def test_other_targets_are_refused_with_the_task_that_fits():
    with pytest.raises(DataError, match="needs a class for each step") as refused:
        bound(torch.zeros(N, dtype=torch.int64))
    assert refused.value.remedy == "set task.name=classification"


@pytest.mark.parametrize(
    "task", [each for each in task_registry.names() if each != "classification"]
)
def test_what_a_loss_of_its_own_would_ignore_is_refused(task):
    create_task(task).use_loss(Loss())
    for loss, key in (
        (Loss("tet"), "train.loss"),
        (Loss("rank"), "train.loss"),
        (Loss(label_smoothing=0.1), "train.label_smoothing"),
    ):
        with pytest.raises(ConfigError, match=f"the task {task} does not use {key}") as found:
            create_task(task).use_loss(loss)
        assert found.value.remedy.startswith(f"set {key}=")
    both = Loss("tet", label_smoothing=0.1)
    with pytest.raises(ConfigError, match="train.loss and train.label_smoothing") as found:
        create_task(task).use_loss(both)
    assert found.value.remedy == "set train.loss=mean and train.label_smoothing=0"
    create_task("classification").use_loss(both)


@pytest.mark.parametrize("name", ["first-crossing", "membrane"])
def test_a_readout_that_answers_once_is_refused(name):
    model = create_model("mlp", in_shape=(1, 1, 2), classes=K, steps=T, features=[4], readout=name)
    readout = model.readout
    task = create_task("step-classification")
    if name == "membrane":
        task.use_readout(readout)
        return
    with pytest.raises(ConfigError, match="answers at one step, the task step-class") as found:
        task.use_readout(readout)
    assert found.value.remedy == "set readout.name=membrane: the outputs of a step are the same"


def test_a_recipe_names_the_readout_and_the_loss_that_do_not_fit():
    document = {
        "data": {"name": "qtdb", "path": "x"},
        "coding": {"name": "given", "steps": 8},
        "task": {"name": "step-classification"},
        "model": {"name": "mlp", "features": [4]},
        "readout": {"name": "first-crossing"},
    }
    with pytest.raises(ConfigError) as found:
        check_recipe(document)
    assert found.value.why.startswith("readout: the readout answers at one step")
    document["train"] = {"loss": "rank"}
    with pytest.raises(ConfigError) as found:
        check_recipe(document)
    assert found.value.why.startswith("train.loss: the task step-classification does not use")
