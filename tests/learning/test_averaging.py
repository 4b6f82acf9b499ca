"""The average of the weights: its formula, validation and saving, and resuming with it."""

import copy
import json
import shutil

import numpy as np
import pytest
import torch

from asnn.core import ConfigError
from asnn.learning import check_recipe, train
from asnn.learning.averaging import Average
from asnn.models import create_model, load_run
from asnn.records.layout import Run
from tests.support.trainings import KeepTraining, StopAfter

RECIPE = {
    "data": {"limit": 100},
    "coding": {"name": "temporal", "steps": 3},
    "model": {"name": "mlp", "features": [12]},
    "train": {"epochs": 2, "batch_size": 25, "lr": 0.02, "device": "cpu", "ema": 0.9},
}


def recipe_of(**options):
    return check_recipe({**RECIPE, "train": {**RECIPE["train"], **options}})


class Recorder:
    """Keeps the weights after each step, and the average at the end of each epoch."""

    def started(self, training):
        self.training = training
        self.steps = [snapshot(training.model)]
        self.averages = []
        self.validated = []

    def batch_done(self, training, loss, accuracy, rate):
        self.steps.append(snapshot(training.model))

    def epoch_done(self, training, metrics):
        self.averages.append(snapshot(training.result))
        self.validated.append(metrics)


def snapshot(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.slow
def test_the_average_is_that_of_the_formula(tmp_path):
    recorder = Recorder()
    train(recipe_of(), Run(tmp_path), recorder)
    assert len(recorder.steps) == 9
    for name, found in recorder.averages[-1].items():
        if not found.is_floating_point():
            assert torch.equal(found, recorder.steps[-1][name]), "counters are those of the model"
            continue
        wanted = recorder.steps[0][name].double().numpy()
        for n, weights in enumerate(recorder.steps[1:], start=1):
            decay = min(0.9, (1 + n) / (10 + n))
            wanted = decay * wanted + (1 - decay) * weights[name].double().numpy()
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5, atol=1e-6)
    # The negative control: without the rise of the decay it is another average.
    plain = recorder.steps[0]["body.readout.linear.weight"].double()
    for weights in recorder.steps[1:]:
        plain = 0.9 * plain + 0.1 * weights["body.readout.linear.weight"].double()
    assert float((plain - recorder.averages[-1]["body.readout.linear.weight"]).abs().max()) > 0.01
    assert any("running_mean" in name for name in recorder.averages[-1])


@pytest.mark.slow
def test_it_does_not_change_the_trained_weights(tmp_path):
    with_it, without = Recorder(), Recorder()
    for recorder, ema, folder in ((with_it, 0.9, "a"), (without, None, "b")):
        (tmp_path / folder).mkdir()
        document = {k: v for k, v in RECIPE["train"].items() if k != "ema"}
        options = document if ema is None else {**document, "ema": ema}
        recipe = check_recipe({**RECIPE, "train": options})
        train(recipe, Run(tmp_path / folder), recorder)
    for ours, theirs in zip(with_it.steps, without.steps, strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert without.training.average is None
    assert without.training.result is without.training.model


@pytest.mark.slow
def test_the_average_is_validated_and_saved(tmp_path):
    recorder = Recorder()
    summary = train(recipe_of(epochs=4), Run(tmp_path), recorder)
    best = summary["best"]["epoch"] - 1
    saved = load_run(tmp_path)
    for name, value in saved.state_dict().items():
        assert torch.equal(value, recorder.averages[best][name])
    data = recorder.training.data.validation
    x, y = data.inputs[:].float() / 16, data.targets
    found = float((saved.predict(x).argmax(1) == y).double().mean())
    assert found == pytest.approx(summary["best"]["validation_accuracy"])
    weights = recorder.steps[4 * (best + 1)]["body.readout.linear.weight"]
    assert not torch.equal(saved.state_dict()["body.readout.linear.weight"], weights)


def test_the_frozen_copy_of_the_average_follows_its_updates():
    model = create_model("mlp", in_shape=(1, 4, 4), classes=3, steps=2, features=[8])
    average = Average(model, 0.5)
    x = torch.rand(6, 1, 4, 4)
    before = average.model.predict(x)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    average.update(1)
    after = average.model.predict(x)
    assert not torch.equal(before, after)
    assert torch.equal(after, copy.deepcopy(average.model).predict(x))


OPTIONS = {"weight_decay": 0.01, "optimizer": "adamw", "clip_norm": 1.0}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The best weights of a training with `OPTIONS`."""
    path = tmp_path_factory.mktemp("uninterrupted")
    train(recipe_of(**OPTIONS), Run(path), KeepTraining())
    return load_run(path).state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("calls", [2, 4, 7])
def test_an_interrupted_average_resumes_bit_for_bit(tmp_path, uninterrupted, calls):
    run = Run(tmp_path)
    assert train(recipe_of(**OPTIONS), run, KeepTraining(), stop=StopAfter(calls)) is None
    train(recipe_of(**OPTIONS), run, KeepTraining(), resume=True)
    resumed = load_run(tmp_path).state_dict()
    assert all(torch.equal(value, resumed[name]) for name, value in uninterrupted.items())


@pytest.mark.slow
def test_without_its_average_a_resumed_training_ends_differently(tmp_path, uninterrupted):
    """The negative control: the average in the checkpoint is replaced by the weights."""
    run = Run(tmp_path)
    assert train(recipe_of(**OPTIONS), run, KeepTraining(), stop=StopAfter(2)) is None
    checkpoint = run.checkpoints / "step-2"
    shutil.copy(checkpoint / "model.safetensors", checkpoint / "average.safetensors")
    sums = json.loads((checkpoint / "checksums.json").read_text())
    sums["sha256"]["average.safetensors"] = sums["sha256"]["model.safetensors"]
    (checkpoint / "checksums.json").write_text(json.dumps(sums))
    train(recipe_of(**OPTIONS), run, KeepTraining(), resume=True)
    name = "body.readout.linear.weight"
    assert not torch.equal(uninterrupted[name], load_run(tmp_path).state_dict()[name])


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5])
def test_decays_out_of_range(decay):
    with pytest.raises(ConfigError) as caught:
        recipe_of(ema=decay)
    assert "train.ema" in caught.value.why
