"""Class weights and balanced sampling in whole trainings: what they do, resume, and refusals."""

import numpy as np
import pytest

import asnn
from asnn.core import AsnnError, ConfigError
from asnn.core.documents import read_toml
from asnn.learning import check_recipe
from asnn.learning.epoch import train_epoch
from asnn.learning.training import prepare, training_batches
from asnn.records.layout import Run
from tests.support.trainings import KeepTraining

SMALL = {
    "model.name": "mlp",
    "model.features": [8],
    "train.epochs": 2,
    "train.batch_size": 16,
    "train.lr": 0.01,
    "train.checkpoint_steps": 1,
}


@pytest.fixture(scope="module")
def rare(tmp_path_factory):
    """Pictures of two classes, one of which is rare: 90 and 10."""
    path = tmp_path_factory.mktemp("rare") / "rare.npz"
    random = np.random.default_rng(0)
    y = np.array([0] * 108 + [1] * 12)
    x = np.clip(random.normal(0.4, 0.2, (120, 1, 6, 6)) + 0.1 * y[:, None, None, None], 0, 1)
    np.savez(path, x_train=x.astype(np.float32), y_train=y, x_test=x.astype(np.float32), y_test=y)
    return {**SMALL, "data.name": "npz", "data.path": str(path)}


def of(document, **train):
    tables = {}
    for key, value in document.items():
        section, name = key.split(".")
        tables.setdefault(section, {})[name] = value
    tables["train"] |= train
    return check_recipe(tables)


def labels_of_epoch(training):
    return np.concatenate([t.first.numpy() for _, t in training_batches(training)])


def test_an_epoch_of_balanced_sampling_has_as_many_of_each_class(rare, tmp_path):
    shuffled = prepare(of(rare), Run(tmp_path))
    balanced = prepare(of(rare, sampling="balanced"), Run(tmp_path))
    counts = np.bincount(labels_of_epoch(balanced))
    assert np.array_equal(counts, [54, 54]) and balanced.batches_per_epoch == 7
    assert np.bincount(labels_of_epoch(shuffled)).min() < 15  # control
    assert balanced.steps_per_epoch == shuffled.steps_per_epoch


@pytest.mark.parametrize(
    "change",
    [{"train.sampling": "balanced"}, {"train.class_weights": "balanced"}],
    ids=["sampling", "weights"],
)
@pytest.mark.slow
def test_killed_and_resumed_the_bytes_are_the_same(rare, tmp_path, change):
    whole = asnn.train("digits", out=tmp_path / "whole", changes={**rare, **change})
    plain = asnn.train("digits", out=tmp_path / "plain", changes=rare)
    for call in (3, 9):
        calls = iter(range(10_000))
        part = asnn.train(
            "digits", out=tmp_path / f"{call}", changes={**rare, **change},
            stop=lambda calls=calls, call=call: next(calls) >= call,
        )  # fmt: skip
        again = asnn.train(resume=part.path)
        assert again.files.model.read_bytes() == whole.files.model.read_bytes()
        assert again.files.metrics.read_bytes() == whole.files.metrics.read_bytes()
    assert plain.files.model.read_bytes() != whole.files.model.read_bytes()


@pytest.mark.slow
def test_weights_of_one_are_no_weights(rare, tmp_path):
    """The validation is without weights: of the two trainings it is the same."""
    found = []
    for weights in (None, [1.0, 1.0], [1.0, 9.0]):
        training = prepare(of(rare, epochs=1, class_weights=weights), Run(tmp_path))
        train_epoch(training, KeepTraining())
        found.append(training.progress.loss)
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert found[0] != pytest.approx(found[2], rel=1e-3)


def test_a_resolved_recipe_holds_a_table_of_weights(rare):
    recipe = of(rare, class_weights={"0": 1.0, "1": 4.0})
    assert check_recipe(read_toml(recipe.toml())) == recipe


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"class_weights": [1, 2, 3]}, "has 3 numbers for 2 classes: the classes are 0, 1"),
        (
            {"class_weights": "balanced", "sampling": "balanced"},
            "train.class_weights and train.sampling=balanced both weigh the classes",
        ),
    ],
)
def test_what_does_not_fit_the_data_is_refused(rare, tmp_path, train, message):
    with pytest.raises(ConfigError, match=message):
        prepare(of(rare, **train), Run(tmp_path))


@pytest.mark.parametrize("given", ["even", 3, [1, "2"], [0, 0], [1, -1], {"a": float("nan")}])
def test_what_is_no_weights_is_one_fault(rare, given):
    with pytest.raises(AsnnError, match="train.class_weights: must be balanced, a list of numbers"):
        of(rare, class_weights=given)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("class_weights", "balanced", "the task regression does not weigh classes"),
        ("sampling", "balanced", "is for one class a sample, the task is regression"),
    ],
)
def test_tasks_without_classes_refuse_both(tmp_path, key, value, message):
    random = np.random.default_rng(0)
    x, y = random.random((40, 4, 3)).astype(np.float32), random.random(40).astype(np.float32)
    np.savez(tmp_path / "y.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    document = {
        "data": {"name": "series-npz", "path": str(tmp_path / "y.npz")},
        "coding": {"name": "given", "steps": 4},
        "model": {"name": "mlp", "features": [4]},
        "task": {"name": "regression"},
        "train": {key: value},
    }
    with pytest.raises(ConfigError, match=message):
        prepare(check_recipe(document), Run(tmp_path))
    y = np.zeros((40, 4), np.int64)
    y[:, 2:] = 1
    np.savez(tmp_path / "y.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    document["task"]["name"] = "step-classification"
    if key == "sampling":
        with pytest.raises(ConfigError) as refused:
            prepare(check_recipe(document), Run(tmp_path))
        assert refused.value.remedy.endswith("train.class_weights weighs the classes of steps")
    else:
        assert prepare(check_recipe(document), Run(tmp_path)).task.classes == ["0", "1"]
