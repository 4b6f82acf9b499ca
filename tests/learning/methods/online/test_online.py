"""What rules that learn at every step have in common: their steps, what they refuse, resuming."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch

from asnn.core import ConfigError
from asnn.datasets.transforms.mixing import Targets
from asnn.learning import check_recipe, train
from asnn.learning.methods import create_method
from asnn.learning.start.range_test import range_test
from asnn.learning.training import training_batches
from asnn.records.layout import Run
from asnn.tasks.regression import Regression
from tests.support.online_trainings import STEPS, prepared, spike_file, tables
from tests.support.trainings import KeepTraining, StopAfter

METHODS = ("decolle", "glm")


@pytest.fixture
def training(tmp_path):
    def make(method, **options):
        return prepared(spike_file(tmp_path / "a.npz"), tmp_path / "run", method, **options)

    return make


@pytest.mark.parametrize(("burn_in", "every"), [(0, 1), (5, 1), (0, 5), (3, 4), (STEPS - 1, 3)])
def test_optimization_steps_of_a_batch(training, burn_in, every):
    """Each step has the mean gradient of its time steps, and all outputs are yielded once."""
    made = training("decolle", method__burn_in=burn_in, method__every=every)
    x, targets = next(iter(training_batches(made)))
    lengths, shares, losses = [], [], []
    rule = made.method.start

    def watched(*arguments):
        inner = rule(*arguments)

        def step(x, y, share):
            shares.append(share)
            return inner(x, y, share)

        return step

    made.method.start = watched
    for loss, outputs in made.method.learn(made, x, targets, 1.0):
        lengths.append(len(outputs))
        losses.append(float(loss))
    assert len(lengths) == made.method.updates(STEPS) == -(-(STEPS - burn_in) // every)
    assert sum(lengths) == STEPS
    assert shares[:burn_in] == [0.0] * burn_in
    learning = shares[burn_in:]
    for begin in range(0, len(learning), every):
        part = learning[begin : begin + every]
        assert part == [pytest.approx(1 / len(part))] * len(part)
    assert made.steps_per_epoch == len(lengths) * made.batches_per_epoch


@pytest.mark.slow
def test_gradients_do_not_depend_on_how_steps_are_grouped(training):
    """With a learning rate of 0 the mean over groups is the mean over steps."""
    found = []
    for every in (1, 4, STEPS):
        made = training("decolle", method__every=every, model__bias=0.15)
        x, targets = next(iter(training_batches(made)))
        total = 0
        for _ in made.method.learn(made, x, targets, 1.0):
            total = total + made.model.body.linear1.layer.weight.grad.clone() * every
        found.append(total / STEPS)
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], found[2])
    assert found[0].abs().max() > 1e-4


def files_of(path):
    return {name: (path / name).read_bytes() for name in ("model.safetensors", "metrics.jsonl")}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_training_that_was_stopped_ends_with_the_same_bytes(tmp_path, method):
    data = spike_file(tmp_path / "a.npz")
    recipe = check_recipe(tables(data, method, train__ema=0.9, train__statistics=True))
    whole, stopped = Run(tmp_path / "whole"), Run(tmp_path / "stopped")
    for run in (whole, stopped):
        run.path.mkdir()
    observer = KeepTraining()
    train(recipe, whole, observer)
    assert train(recipe, stopped, KeepTraining(), stop=StopAfter(3)) is None
    assert train(recipe, stopped, KeepTraining(), resume=True) is not None
    assert files_of(whole.path) == files_of(stopped.path)
    progress = observer.training.progress
    assert progress.step == 2 * observer.training.batches_per_epoch * STEPS
    rates = [json.loads(line)["lr"] for line in files_of(whole.path)["metrics.jsonl"].splitlines()]
    assert all(a > b for a, b in pairwise(rates)) and rates[-1] < 1e-3  # the cosine has ended


@pytest.mark.slow
def test_shuffled_steps_are_not_learned(tmp_path):
    """Negative control: the class of a step is told less by spikes of other steps."""
    found = {}
    for name in ("given", "shuffled"):
        path = spike_file(tmp_path / f"{name}.npz", count=120)
        arrays = dict(np.load(path))
        if name == "shuffled":
            random = np.random.default_rng(1)
            for key in ("x_train", "x_test"):
                arrays[key] = np.stack([random.permutation(each) for each in arrays[key]])
            np.savez(path, **arrays)
        run = Run(tmp_path / name)
        run.path.mkdir()
        recipe = check_recipe(
            tables(path, "glm", model__features=[], train__epochs=4, train__lr=0.05)
        )
        found[name] = train(recipe, run, KeepTraining())["best"]["validation_accuracy"]
    assert found["given"] > 0.75 and found["shuffled"] < found["given"] - 0.1


@pytest.mark.parametrize("method", METHODS)
def test_what_is_refused_is_refused_together(training, method):
    with pytest.raises(ConfigError) as refused:
        training(method, train__accumulate=2, train__precision="bfloat16")
    text = str(refused.value)
    for key in ("train.accumulate=2", "train.precision=bfloat16"):
        assert f"{key} is not for the method {method}" in text
    assert "leave train.accumulate out" in text
    with pytest.raises(ConfigError, match="step-classification does not use train.loss"):
        training(method, train__loss="tet")


@pytest.mark.parametrize(
    ("options", "what", "remedy"),
    [
        ({"method__burn_in": STEPS}, f"burn_in is {STEPS}, and a sample has {STEPS}", "below"),
        ({"synapse__learn": True}, "not learn the time constants of synapse1", "learn=false"),
        ({"model__output_scale": True}, "not learn scales of the steps", "output_scale=false"),
        ({"readout__name": "membrane"}, "is not for this readout", "readout.name=mean or last"),
        ({"train__class_weights": "balanced"}, "train.class_weights=balanced is not", "leave"),
    ],
    ids=str,
)  # fmt: skip
def test_refusals(training, options, what, remedy):
    with pytest.raises(ConfigError) as refused:
        training("decolle", **options)
    assert what in str(refused.value) and remedy in str(refused.value.remedy)


def test_norms_are_refused(training):
    with pytest.raises(ConfigError, match="decolle cannot teach this network: spikes1") as refused:
        training("decolle", model={"name": "mlp", "neuron": "iir", "output_scale": False},
                 synapse={"name": "none"})  # fmt: skip
    assert refused.value.remedy == "set model.name=trace-mlp, or method.name=bptt"


def test_tasks_without_classes_are_refused():
    with pytest.raises(ConfigError, match="the task regression has no class for a step"):
        Regression().step_classes(Targets(torch.zeros(2), torch.zeros(2), 1), 3)


def test_mixed_samples_are_refused(training):
    made = training("decolle")
    x, targets = next(iter(training_batches(made)))
    with pytest.raises(ConfigError, match="cannot train on mixed samples"):
        next(made.method.learn(made, x, targets._replace(weight=0.5), 1.0))


def test_range_tests_are_refused(training):
    with pytest.raises(ConfigError, match="a range test is not for the method decolle"):
        range_test(training("decolle"))


def test_methods_with_one_step_a_batch_count_as_before():
    assert create_method("bptt").updates(1301) == 1
