"""Teachers: the twin and its training, the loss, and going on in the middle of either."""

import json

import pytest
import torch
from torch.nn.functional import cross_entropy

from asnn.core.errors import DataError
from asnn.datasets import Batches
from asnn.learning import check_recipe, prepare, train
from asnn.learning.device import derived_seed
from asnn.learning.distillation import twin
from asnn.models import load_run
from asnn.records.layout import Run

RECIPE = {
    "data": {"limit": 100},
    "coding": {"name": "temporal", "steps": 3},
    "model": {"name": "mlp", "features": [12]},
    "neuron": {"granularity": "channel"},
    "train": {"epochs": 2, "batch_size": 25, "lr": 0.01, "schedule": "constant", "device": "cpu"},
}


class Silent:
    def __init__(self):
        self.names = []

    def started(self, training):
        self.training = training
        self.names.append(training.recipe.name)

    def batch_done(self, training, loss, accuracy, rate):
        pass

    def epoch_done(self, training, metrics):
        pass


class Stopping:
    """Says stop when it has been asked so many times."""

    def __init__(self, calls):
        self.left = calls

    def __call__(self):
        self.left -= 1
        return self.left <= 0


def recipe_of(teacher="ann", **options):
    options = {**RECIPE["train"], **options}
    return check_recipe(
        {**RECIPE, "train": {**options, **({"teacher": teacher} if teacher else {})}}
    )


def folder(path):
    path.mkdir()
    return Run(path)


def weights(path):
    return load_run(path).state_dict()


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_twin_is_the_network_with_relu_and_one_step():
    recipe = twin(recipe_of(kernels="fused", loss="tet", ema=0.9))
    assert recipe.coding.name == "direct" and recipe.coding.steps == 1
    assert recipe.model.neuron == "relu" and recipe.model.output_scale is False
    assert recipe.model.options() == {"features": [12], "norm": "folded"}
    assert recipe.train.teacher is None and recipe.train.kernels == "auto"
    assert (recipe.train.epochs, recipe.train.loss, recipe.train.ema) == (2, "tet", 0.9)
    assert recipe.name == "recipe-teacher"


def test_the_twin_is_trained_first_as_an_ordinary_run(tmp_path):
    observer = Silent()
    train(recipe_of(), folder(tmp_path / "a"), observer)
    assert observer.names == ["recipe-teacher", "recipe"]
    teacher = tmp_path / "a/teacher"
    assert json.loads((teacher / "summary.json").read_text())["finished"]
    assert json.loads((teacher / "summary.json").read_text())["last"]["spike_rate"] == 0
    train(twin(recipe_of()), folder(tmp_path / "b"), Silent())
    assert same(weights(teacher), weights(tmp_path / "b"))
    environment = json.loads((tmp_path / "a/environment.json").read_text())
    assert len(environment["teacher"]) == 64


@pytest.mark.parametrize("loss", ["mean", "tet"])
def test_the_loop_equals_a_loop_written_out(tmp_path, loss):
    """(1 - α) of the labels' loss and α τ² of KL at each step, averaged over steps and samples."""
    train(recipe_of(None), folder(tmp_path / "teacher"), Silent())
    recipe = recipe_of(str(tmp_path / "teacher"), loss=loss, teacher_weight=0.3,
                       teacher_temperature=3.0)  # fmt: skip
    observer = Silent()
    train(recipe, folder(tmp_path / "student"), observer)
    data, teacher = observer.training.data, load_run(tmp_path / "teacher")

    mine = prepare(recipe_of(None), Run(tmp_path)).model.train()
    optimizer = torch.optim.Adam(mine.parameters(), lr=0.01, fused=True)
    for epoch in range(2):
        order = Batches(
            data.train, batch_size=25, full_scale=16, shuffle=True,
            generator=torch.Generator().manual_seed(derived_seed(0, epoch)),
        )  # fmt: skip
        for x, targets in order:
            logits = mine(x)
            p = (teacher.predict(x) / 3).softmax(-1)
            apart = sum(
                (p * (p.log() - (step / 3).softmax(-1).log())).sum(-1).mean() for step in logits
            )
            if loss == "mean":
                labels = cross_entropy(logits.mean(0), targets.first)
            else:
                labels = sum(cross_entropy(step, targets.first) for step in logits) / 3
            optimizer.zero_grad()
            (0.7 * labels + 0.3 * 9 * apart / 3).backward()
            optimizer.step()
    theirs = observer.training.model.state_dict()
    for name, value in mine.state_dict().items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-3, atol=1e-4)
    plain = weights(tmp_path / "teacher")
    name = "body.readout.linear.weight"
    assert float((plain[name] - theirs[name]).abs().max()) > 0.005, "the negative control"


def test_a_weight_of_nought_is_no_teacher(tmp_path):
    for name, teacher, loss in (("a", None, "tet"), ("b", str(tmp_path / "a"), "tet")):
        options = {"teacher_weight": 0.0} if teacher else {}
        train(recipe_of(teacher, loss=loss, **options), folder(tmp_path / name), Silent())
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_the_teacher_does_not_learn(tmp_path):
    train(recipe_of(None), folder(tmp_path / "a"), Silent())
    observer = Silent()
    train(recipe_of(str(tmp_path / "a"), epochs=1), folder(tmp_path / "b"), observer)
    assert same(observer.training.teacher.model.state_dict(), weights(tmp_path / "a"))


@pytest.mark.slow
@pytest.mark.parametrize("calls", [3, 10, 12, 16])
def test_an_interrupted_training_goes_on_in_teacher_or_student(tmp_path, calls):
    """Four batches an epoch, one to validate on, a question after it: 12 for the teacher."""
    whole, parts = folder(tmp_path / "whole"), folder(tmp_path / "parts")
    train(recipe_of(), whole, Silent())
    first = Silent()
    assert train(recipe_of(), parts, first, stop=Stopping(calls)) is None
    assert first.names == ["recipe-teacher"] + ["recipe"] * (calls > 11)
    second = Silent()
    assert train(recipe_of(), parts, second, resume=True)["finished"]
    assert second.names == ["recipe-teacher"] * (calls < 12) + ["recipe"]
    assert same(weights(whole.path), weights(parts.path))
    assert same(weights(whole.path / "teacher"), weights(parts.path / "teacher"))


def test_another_teacher_is_refused_when_going_on(tmp_path):
    train(recipe_of(None), folder(tmp_path / "a"), Silent())
    recipe = recipe_of(str(tmp_path / "a"))
    run = folder(tmp_path / "b")
    assert train(recipe, run, Silent(), stop=Stopping(2)) is None
    train(recipe_of(None, seed=5), folder(tmp_path / "c"), Silent())
    (tmp_path / "a/model.safetensors").write_bytes((tmp_path / "c/model.safetensors").read_bytes())
    with pytest.raises(DataError, match="the teacher is not the one that .* began with"):
        train(recipe, run, Silent(), resume=True)


def test_teachers_that_cannot_teach(tmp_path):
    with pytest.raises(DataError, match="is not a run"):
        prepare(recipe_of(str(tmp_path / "nowhere")), Run(tmp_path))
    import numpy as np

    rng = np.random.default_rng(0)
    np.savez(tmp_path / "other.npz", x_train=rng.random((40, 1, 8, 8), dtype=np.float32),
             y_train=np.arange(40) % 2)  # fmt: skip
    other = {**RECIPE, "data": {"name": "npz", "path": str(tmp_path / "other.npz")}}
    train(check_recipe(other), folder(tmp_path / "other"), Silent())
    with pytest.raises(DataError, match="does not know these data") as caught:
        prepare(recipe_of(str(tmp_path / "other")), Run(tmp_path))
    assert "of 2 classes, the data are (1, 8, 8) of 10" in caught.value.why
