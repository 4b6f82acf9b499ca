"""Distillation: training of the ANN counterpart, the loss, and resuming in the middle of either."""

import json
import shutil

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from asnn.core.errors import ConfigError, DataError
from asnn.datasets import Batches
from asnn.learning import check_recipe, prepare, train
from asnn.learning.checkpoints.resume import former_document
from asnn.learning.device import derived_seed
from asnn.learning.methods import create_method
from asnn.learning.methods.distillation import Distillation
from asnn.learning.trained import ann_counterpart
from asnn.models import load_run
from asnn.records.layout import Run
from asnn.records.open_run import open_run
from asnn.tasks.losses import distillation_loss
from tests.support.trainings import KeepTraining, StopAfter

RECIPE = {
    "data": {"limit": 100},
    "coding": {"name": "temporal", "steps": 3},
    "model": {"name": "mlp", "features": [12]},
    "neuron": {"granularity": "channel"},
    "train": {"epochs": 2, "batch_size": 25, "lr": 0.01, "schedule": "constant", "device": "cpu"},
}


def recipe_of(teacher="ann", weight=0.5, temperature=2.0, **options):
    method = {"name": "distillation", "teacher": teacher, "weight": weight}
    method = {**method, "temperature": temperature} if teacher else {}
    return check_recipe({**RECIPE, "method": method, "train": {**RECIPE["train"], **options}})


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
    assert recipe.method.name == "bptt" and recipe.train.kernels == "auto"
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
    recipe = recipe_of(str(plain_run), loss=loss, weight=0.3, temperature=3.0)
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


class Given:
    """A teacher that answers with given logits, and a task of the cross-entropy of the mean."""

    one_class = True
    needs_mean_only = True

    def __init__(self, logits):
        self.logits = logits
        self.task = self

    def predict(self, x):
        return self.logits

    def loss(self, outputs, targets):
        return cross_entropy(outputs.mean(0), targets)


@pytest.mark.parametrize("compare", ["steps", "mean"])
@pytest.mark.parametrize("mode", ["blend", "add"])
def test_the_loss_is_that_of_a_loop_over_steps(mode, compare):
    generator = torch.Generator().manual_seed(0)
    outputs, z = torch.randn(3, 5, 4, generator=generator), torch.randn(5, 4, generator=generator)
    y = torch.arange(5) % 4
    method = create_method("distillation", mode=mode, compare=compare, weight=0.3, temperature=1.5)
    method.network = given = Given(z)
    found = float(method.loss(given, outputs, None, y))
    compared = list(outputs) if compare == "steps" else [sum(outputs) / 3]
    distance = 0.0
    for step in compared:
        for b in range(5):
            p, q = (z[b] / 1.5).softmax(0), (step[b] / 1.5).softmax(0)
            distance += 1.5**2 * float((p * (p / q).log()).sum()) / 5 / len(compared)
    of_labels = float(cross_entropy(outputs.mean(0), y))
    expected = (0.7 if mode == "blend" else 1) * of_labels + 0.3 * distance
    assert found == pytest.approx(expected, rel=1e-5)
    # Negative controls: the mean over classes as well, and the other comparison.
    assert found != pytest.approx(expected - 0.3 * distance * 3 / 4, rel=1e-2)
    method.compare = "mean" if compare == "steps" else "steps"
    assert float(method.loss(given, outputs, None, y)) != pytest.approx(expected, rel=1e-2)
    assert method.needs_mean_only(given) == (method.compare == "mean")


@pytest.mark.slow
def test_the_answers_for_other_samples_teach_less(tmp_path, monkeypatch):
    """Negative control: a teacher whose logits belong to the next sample of the batch."""
    data = {"limit": 400}
    ann = {**RECIPE, "data": data, "coding": {"name": "direct", "steps": 1}, "neuron": {},
           "model": {"name": "mlp", "features": [24], "neuron": "relu"}}  # fmt: skip
    ann["train"] = {**RECIPE["train"], "epochs": 4}
    train(check_recipe(ann), folder(tmp_path / "ann"), KeepTraining())
    method = {"name": "distillation", "teacher": str(tmp_path / "ann"), "weight": 1.0}
    options = {**RECIPE["train"], "epochs": 4, "lr": 0.02}
    recipe = check_recipe({**RECIPE, "data": data, "method": method, "train": options})
    original, accuracy = Distillation._logits, []
    for shift, name in ((0, "own"), (1, "next")):
        monkeypatch.setattr(
            Distillation, "_logits", lambda *given, shift=shift: original(*given).roll(shift, 0)
        )
        train(recipe, folder(tmp_path / name), KeepTraining())
        accuracy.append(open_run(tmp_path / name).evaluate("test").accuracy)
    assert accuracy[1] < accuracy[0] - 0.3


@pytest.mark.slow
def test_with_weight_0_the_teacher_has_no_effect(tmp_path, plain_run):
    recipe = recipe_of(str(plain_run), loss="tet", weight=0.0)
    train(recipe, folder(tmp_path / "a"), KeepTraining())
    train(recipe_of(None, loss="tet"), folder(tmp_path / "b"), KeepTraining())
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))


@pytest.mark.slow
def test_the_teacher_is_not_trained(tmp_path, plain_run):
    observer = KeepTraining()
    train(recipe_of(str(plain_run), epochs=1), Run(tmp_path), observer)
    assert same(observer.training.method.network.state_dict(), weights(plain_run))


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
    for name in ("model.safetensors", "summary.json"):
        shutil.copy(taught[0] / name, teacher)
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


@pytest.mark.slow
def test_the_keys_of_0_1_0_mean_the_same_training(tmp_path, plain_run, taught):
    """`train.teacher` and its two keys: the same recipe, and the same bytes."""
    former = {"teacher": "ann", "teacher_weight": 0.5, "teacher_temperature": 2.0}
    old = check_recipe({**RECIPE, "train": {**RECIPE["train"], **former}})
    assert old.document() == recipe_of().document()
    train(old, Run(tmp_path), KeepTraining())
    for name in ("model.safetensors", "metrics.jsonl", "teacher/model.safetensors"):
        assert (tmp_path / name).read_bytes() == (taught[0] / name).read_bytes()


@pytest.mark.slow
def test_a_run_with_the_keys_of_0_1_0_is_resumed(tmp_path, taught):
    """Its config.toml has the teacher in [train], as 0.1.0 wrote it."""
    run = Run(tmp_path)
    assert train(recipe_of(), run, KeepTraining(), stop=StopAfter(15)) is None
    text = run.config.read_text()
    head, _, tail = text.partition("\n[method]\n")
    table, _, rest = tail.partition("\n[")
    assert 'teacher = "ann"' in table
    former = '[train]\nteacher = "ann"\nteacher_weight = 0.5\nteacher_temperature = 2.0'
    run.config.write_text((head + "\n[" + rest).replace("[train]", former))
    assert "distillation" not in run.config.read_text()
    document = former_document(run)
    document["train"]["device"] = "cpu"
    assert train(check_recipe(document), run, KeepTraining(), resume=True)["finished"]
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (tmp_path / name).read_bytes() == (taught[0] / name).read_bytes()


def faults_of(**tables):
    with pytest.raises(ConfigError) as caught:
        check_recipe({**RECIPE, **tables})
    return caught.value.why


def test_former_keys_that_contradict_the_method():
    teacher = {"train": {"teacher": "ann"}}
    assert "train.teacher: a teacher is of the method distillation, not of 'halves'" in faults_of(
        **teacher, method={"name": "halves"}
    )
    both = {"train": {"teacher": "ann", "teacher_weight": 0.1}, "method": {"weight": 0.2}}
    assert "train.teacher_weight: method.weight is 0.2 (leave" in faults_of(**both)
    assert "train.teacher_weight: must be from 0 to 1, not 2" in faults_of(
        train={"teacher_weight": 2}
    )
    assert "train.teacher_temperature: must be above 0, not '2'" in faults_of(
        train={"teacher_temperature": "2"}
    )
    # Without a teacher they have no effect, as every run of 0.1.0 has them.
    idle = check_recipe({**RECIPE, "train": {"teacher_weight": 0.1, "teacher_temperature": 3}})
    assert idle.method.name == "bptt" and "teacher" not in idle.toml()
    named = check_recipe({"method": {"name": "distillation"}, "train": {"teacher_weight": 0.1}})
    options = {"teacher": "ann", "weight": 0.1, "temperature": 2.0}
    assert named.method.options() == {**options, "mode": "blend", "compare": "steps"}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"weight": 1.5}, "weight, that of the teacher, must be from 0 to 1, not 1.5"),
        ({"temperature": 0.0}, "temperature must be above 0, not 0.0"),
        ({"teacher": ""}, "teacher is empty"),
        (
            {"mode": "add", "weight": -1.0},
            "weight, that of the teacher, must be at least 0, not -1",
        ),
        ({"mode": "sum"}, "unknown mode 'sum'"),
        ({"compare": "last"}, "unknown compare 'last'"),
        ({"alpha": 1}, "unknown option of method distillation 'alpha'"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ConfigError, match=message):
        create_method("distillation", **options)


STEPS = {
    "coding": {"name": "given", "steps": 4},
    "model": {"name": "mlp", "features": [6], "norm": "folded"},
    "task": {"name": "step-classification"},
    "train": {"epochs": 1, "batch_size": 10, "device": "cpu"},
}


@pytest.fixture
def labelled_steps(tmp_path):
    """Series of 4 steps of 3 features, with a class for each step."""
    rng = np.random.default_rng(0)
    x = rng.random((60, 4, 3), dtype=np.float32)
    path = tmp_path / "steps.npz"
    np.savez(path, x_train=x, y_train=(x[..., 0] > x[..., 1]).astype(np.int64))
    return {**STEPS, "data": {"name": "series-npz", "path": str(path)}}


@pytest.mark.slow
def test_a_teacher_of_the_class_of_each_step(labelled_steps, tmp_path):
    """The distance is to the teacher's logits of the same step, not to its mean over the steps."""
    document = {**labelled_steps, "method": {"name": "distillation", "temperature": 3.0}}
    observer = KeepTraining()
    train(check_recipe(document), folder(tmp_path / "run"), observer)
    training = observer.training
    x = training.data.train.inputs[:5].float()
    method, outputs = training.method, torch.randn(4, 5, 2)
    teacher = load_run(tmp_path / "run/teacher")
    with torch.no_grad():
        z = teacher(x)
    expected = sum(
        (
            (z[t] / 3).softmax(-1)
            * ((z[t] / 3).log_softmax(-1) - (outputs[t] / 3).log_softmax(-1))
        ).sum(-1).mean()
        for t in range(4)
    ) * 9 / 4  # fmt: skip
    found = distillation_loss(outputs, method._logits(training, x), 3.0)
    torch.testing.assert_close(found, expected)
    # Negative control: the mean over the steps is another target.
    assert float((distillation_loss(outputs, z.mean(0), 3.0) - expected).abs()) > 1e-4


@pytest.mark.parametrize(
    "method, options, message",
    [
        ({"compare": "mean"}, {}, "method.compare=mean is not for the task step-classification"),
        ({}, {"ann_steps": "all"}, "train.ann_steps=all is not for the task step-classification"),
    ],
)
def test_the_class_of_each_step_needs_the_logits_of_that_step(
    labelled_steps, tmp_path, method, options, message
):
    document = {**labelled_steps, "method": {"name": "distillation", **method}}
    document["train"] = {**document["train"], **options}
    with pytest.raises(ConfigError, match=message) as caught:
        prepare(check_recipe(document), Run(tmp_path))
    assert "which the teacher tells at that step" in caught.value.why


@pytest.mark.slow
def test_a_teacher_of_other_steps_is_refused_for_the_class_of_each_step(labelled_steps, tmp_path):
    shorter = {**labelled_steps, "coding": {"name": "given", "steps": 3, "fit": "crop"}}
    train(check_recipe(shorter), folder(tmp_path / "short"), KeepTraining())
    method = {"name": "distillation", "teacher": str(tmp_path / "short")}
    with pytest.raises(DataError, match="has 3 steps, the student 4"):
        prepare(check_recipe({**labelled_steps, "method": method}), Run(tmp_path))


def test_other_tasks_are_refused_with_the_reason(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "real.npz", x_train=rng.random((60, 4, 3), dtype=np.float32),
             y_train=rng.random((60, 1), dtype=np.float32))  # fmt: skip
    document = {
        **STEPS,
        "task": {"name": "regression"},
        "data": {"name": "series-npz", "path": str(tmp_path / "real.npz")},
        "method": {"name": "distillation"},
    }
    with pytest.raises(ConfigError, match="tasks of classes, not for regression") as caught:
        prepare(check_recipe(document), Run(tmp_path / "run"))
    assert "probabilities" in str(caught.value) and "method.name=bptt" in caught.value.remedy
    assert prepare(check_recipe({**document, "method": {}}), Run(tmp_path / "run"))


@pytest.mark.parametrize("name", ["rsnn", "lstm"])
def test_a_network_without_ann_counterpart_is_refused_with_the_reason_of_its_layer(tmp_path, name):
    document = {**RECIPE, "model": {"name": name, "features": [5]}}
    document |= {"neuron": {}, "method": {"name": "distillation"}}
    with pytest.raises(ConfigError, match=f"{name} has no ANN counterpart") as caught:
        prepare(check_recipe(document), Run(tmp_path))
    assert {"rsnn": "recurrent weights", "lstm": "no neurons"}[name] in caught.value.why
