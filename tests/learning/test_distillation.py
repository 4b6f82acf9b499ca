"""Teachers: training of the ANN counterpart, the loss, and resuming in the middle of either."""

import json
import shutil

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from asnn.core.errors import DataError
from asnn.datasets import Batches
from asnn.learning import check_recipe, prepare, train
from asnn.learning.device import derived_seed
from asnn.learning.distillation import ann_counterpart
from asnn.models import load_run
from asnn.records.layout import Run
from tests.support.trainings import KeepTraining, StopAfter

RECIPE = {
    "data": {"limit": 100},
    "coding": {"name": "temporal", "steps": 3},
    "model": {"name": "mlp", "features": [12]},
    "neuron": {"granularity": "channel"},
    "train": {"epochs": 2, "batch_size": 25, "lr": 0.01, "schedule": "constant", "device": "cpu"},
}


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


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory):
    """A run without a teacher."""
    path = tmp_path_factory.mktemp("plain")
    train(recipe_of(None), Run(path), KeepTraining())
    return path


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A run whose teacher is its ANN counterpart, and its observer."""
    path, observer = tmp_path_factory.mktemp("taught"), KeepTraining()
    train(recipe_of(), Run(path), observer)
    return path, observer


def test_the_ann_counterpart_has_relu_and_one_step():
    recipe = ann_counterpart(recipe_of(kernels="fused", loss="tet", ema=0.9))
    assert recipe.coding.name == "direct" and recipe.coding.steps == 1
    assert recipe.model.neuron == "relu" and recipe.model.output_scale is False
    assert recipe.model.options() == {"features": [12], "norm": "folded"}
    assert recipe.train.teacher is None and recipe.train.kernels == "auto"
    assert (recipe.train.epochs, recipe.train.loss, recipe.train.ema) == (2, "tet", 0.9)
    assert recipe.name == "recipe-teacher"


@pytest.mark.slow
def test_the_ann_counterpart_is_trained_first_as_an_ordinary_run(tmp_path, taught):
    path, observer = taught
    assert observer.names == ["recipe-teacher", "recipe"]
    teacher = path / "teacher"
    assert json.loads((teacher / "summary.json").read_text())["finished"]
    assert json.loads((teacher / "summary.json").read_text())["last"]["spike_rate"] == 0
    train(ann_counterpart(recipe_of()), Run(tmp_path), KeepTraining())
    assert same(weights(teacher), weights(tmp_path))
    environment = json.loads((path / "environment.json").read_text())
    assert len(environment["teacher"]) == 64


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["mean", "tet"])
def test_the_loop_equals_a_loop_written_out(tmp_path, plain_run, loss):
    """(1 - α) times the loss of labels plus α τ² KL at each step, means over steps and samples."""
    recipe = recipe_of(str(plain_run), loss=loss, teacher_weight=0.3, teacher_temperature=3.0)
    observer = KeepTraining()
    train(recipe, Run(tmp_path), observer)
    data, teacher = observer.training.data, load_run(plain_run)

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
            kl = sum(
                (p * (p.log() - (step / 3).softmax(-1).log())).sum(-1).mean() for step in logits
            )
            if loss == "mean":
                labels = cross_entropy(logits.mean(0), targets.first)
            else:
                labels = sum(cross_entropy(step, targets.first) for step in logits) / 3
            optimizer.zero_grad()
            (0.7 * labels + 0.3 * 9 * kl / 3).backward()
            optimizer.step()
    theirs = observer.training.model.state_dict()
    for name, value in mine.state_dict().items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-3, atol=1e-4)
    plain = weights(plain_run)
    name = "body.readout.linear.weight"
    assert float((plain[name] - theirs[name]).abs().max()) > 0.005, "the negative control"


@pytest.mark.slow
def test_with_weight_0_the_teacher_has_no_effect(tmp_path, plain_run):
    recipe = recipe_of(str(plain_run), loss="tet", teacher_weight=0.0)
    train(recipe, folder(tmp_path / "a"), KeepTraining())
    train(recipe_of(None, loss="tet"), folder(tmp_path / "b"), KeepTraining())
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))


@pytest.mark.slow
def test_the_teacher_is_not_trained(tmp_path, plain_run):
    observer = KeepTraining()
    train(recipe_of(str(plain_run), epochs=1), Run(tmp_path), observer)
    assert same(observer.training.teacher.model.state_dict(), weights(plain_run))


@pytest.mark.slow
@pytest.mark.parametrize("calls", [3, 10, 12, 16])
def test_an_interrupted_training_resumes_in_teacher_or_student(tmp_path, taught, calls):
    """An epoch calls `stop` 6 times (4 batches, 1 of validation, its end), the teacher 12 times."""
    uninterrupted, run = taught[0], Run(tmp_path)
    first = KeepTraining()
    assert train(recipe_of(), run, first, stop=StopAfter(calls)) is None
    assert first.names == ["recipe-teacher"] + ["recipe"] * (calls > 11)
    second = KeepTraining()
    assert train(recipe_of(), run, second, resume=True)["finished"]
    assert second.names == ["recipe-teacher"] * (calls < 12) + ["recipe"]
    assert same(weights(uninterrupted), weights(run.path))
    assert same(weights(uninterrupted / "teacher"), weights(run.path / "teacher"))


@pytest.mark.slow
def test_resuming_with_another_teacher_is_refused(tmp_path, plain_run, taught):
    teacher = tmp_path / "teacher"
    shutil.copytree(plain_run, teacher)
    recipe = recipe_of(str(teacher))
    run = folder(tmp_path / "student")
    assert train(recipe, run, KeepTraining(), stop=StopAfter(2)) is None
    shutil.copy(taught[0] / "model.safetensors", teacher)
    with pytest.raises(DataError, match="the teacher is not the one that .* began with"):
        train(recipe, run, KeepTraining(), resume=True)


@pytest.mark.slow
def test_teachers_that_cannot_teach(tmp_path):
    with pytest.raises(DataError, match="is not a run"):
        prepare(recipe_of(str(tmp_path / "nowhere")), Run(tmp_path))
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "other.npz", x_train=rng.random((40, 1, 8, 8), dtype=np.float32),
             y_train=np.arange(40) % 2)  # fmt: skip
    other = {**RECIPE, "data": {"name": "npz", "path": str(tmp_path / "other.npz")}}
    train(check_recipe(other), folder(tmp_path / "other"), KeepTraining())
    with pytest.raises(DataError, match="does not fit these data") as caught:
        prepare(recipe_of(str(tmp_path / "other")), Run(tmp_path))
    assert "of 2 classes, the data are (1, 8, 8) of 10" in caught.value.why
