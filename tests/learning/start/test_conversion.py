"""Trainings that start from their ANN counterpart or a run: converted, trained, killed, resumed."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from asnn.core.errors import ConfigError, DataError
from asnn.learning import check_recipe, loop, prepare, train
from asnn.learning.methods import method_registry
from asnn.learning.methods.bptt import Bptt
from asnn.learning.start.begin import start_notes
from asnn.learning.start.weights import plan_transfer
from asnn.learning.trained import ann_counterpart, ann_epochs
from asnn.measure.cost.ann import ann_config, dense_ann_counts
from asnn.models import create_model, load_run
from asnn.records.layout import Run
from asnn.records.open_run import open_run
from asnn.records.record import read_record
from tests.support.trainings import KeepTraining, StopAfter

RECIPE = {
    "data": {"limit": 300},
    "coding": {"name": "direct", "steps": 8},
    "model": {"name": "mlp", "features": [24], "neuron": "integrate"},
    "neuron": {"most": 5},
    "train": {
        "epochs": 2, "ann_epochs": 3, "batch_size": 50, "lr": 0.01, "schedule": "constant",
        "device": "cpu", "init": "ann",
    },
}  # fmt: skip
FILES = ("model.safetensors", "metrics.jsonl", "teacher/model.safetensors")


def recipe_of(tables=None, **options):
    tables = {**RECIPE, **(tables or {})}
    return check_recipe({**tables, "train": {**tables["train"], **options}})


def folder(path):
    path.mkdir()
    return Run(path)


def lines(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def same(one, other, files=FILES):
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in files)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """A pure conversion."""
    path = tmp_path_factory.mktemp("converted")
    train(recipe_of(epochs=0), Run(path), KeepTraining())
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training of two epochs from the ANN counterpart, and its observer."""
    path, observer = tmp_path_factory.mktemp("whole"), KeepTraining()
    train(recipe_of(), Run(path), observer)
    return path, observer


def test_a_conversion_has_every_file_of_a_run(converted):
    run = open_run(converted)
    assert run.record.state == "finished" and run.record.faults == []
    assert run.record.trained == [] and run.record.metric_by_epoch == []
    found = json.loads((converted / "summary.json").read_text())
    assert found["finished"] is True and found["best"]["epoch"] == 0
    assert found["best"] == found["last"]
    assert [line["epoch"] for line in lines(converted)] == [0]
    assert not {"train_loss", "lr"} & lines(converted)[0].keys()
    start = json.loads((converted / "environment.json").read_text())["start"]
    assert start["calibrated"] == ["spikes1"] and start["not_calibrated"] == {}
    assert start["calibrate"] == "mse" and start["samples"] == len(run.data.train)
    assert start["kept"] == ["body.readout.scale"]
    accuracy = run.evaluate("validation").accuracy
    assert accuracy == found["best"]["validation_accuracy"]


def test_a_conversion_is_as_good_as_its_ann(converted):
    """T = 8, m = 5: within two points. Negative control: without calibration it is not."""
    ann = open_run(converted / "teacher").evaluate("test").accuracy
    assert ann > 0.8
    assert open_run(converted).evaluate("test").accuracy >= ann - 0.02
    model = load_run(converted)
    model.body.spikes1.neuron.raw_amplitude.fill_(0.05)  # up to 0.25 a step: it saturates
    changed = open_run(converted)
    changed.__dict__["model"] = model
    assert changed.evaluate("test").accuracy < ann - 0.1


def test_without_calibration_the_amplitude_stays(tmp_path, converted):
    teacher = str(converted / "teacher")
    recipe = recipe_of(init=teacher, calibrate="none", epochs=0)
    train(recipe, Run(tmp_path), KeepTraining())
    assert float(load_run(tmp_path).body.spikes1.neuron.amplitude) == 1.0
    assert float(load_run(converted).body.spikes1.neuron.amplitude) != 1.0
    start = json.loads((tmp_path / "environment.json").read_text())["start"]
    assert start["calibrated"] == []
    assert start["not_calibrated"] == {"spikes1": "train.calibrate is none"}


def test_a_run_of_the_ann_is_the_same_start_as_ann(tmp_path, converted):
    train(recipe_of(init=str(converted / "teacher"), epochs=0), Run(tmp_path), KeepTraining())
    assert same(converted, tmp_path, ("model.safetensors", "metrics.jsonl"))
    assert not (tmp_path / "teacher").exists()


def test_a_run_of_the_same_kind_is_kept_as_it_is(tmp_path, converted):
    """Its amplitudes are not calibrated again: spikes are no activations."""
    train(recipe_of(init=str(converted), epochs=0), Run(tmp_path), KeepTraining())
    assert same(converted, tmp_path, ("model.safetensors", "metrics.jsonl"))
    start = json.loads((tmp_path / "environment.json").read_text())["start"]
    assert start["not_calibrated"] == {"spikes1": "the source has spikes, not activations"}
    assert start["calibrated"] == start["kept"] == []


def test_no_epochs_without_a_start_are_refused():
    with pytest.raises(ConfigError) as caught:
        recipe_of(init="none", epochs=0)
    assert "train.epochs: 0 epochs keep the weights that a training starts from" in caught.value.why
    assert "set train.init=ann" in caught.value.why
    assert recipe_of(init="none", epochs=1)


def test_the_epochs_of_the_counterpart():
    assert ann_epochs(recipe_of().train) == 3
    assert ann_epochs(recipe_of(ann_epochs=None, epochs=7).train) == 7
    assert ann_epochs(recipe_of(ann_epochs=None, epochs=0).train) == 10
    counterpart = ann_counterpart(recipe_of())
    assert (counterpart.train.init, counterpart.train.epochs) == ("none", 3)


@pytest.mark.slow
def test_the_start_is_epoch_0_and_may_be_the_best(tmp_path, whole):
    path, observer = whole
    found = lines(path)
    assert [line["epoch"] for line in found] == [0, 1, 2]
    assert observer.names == ["recipe-teacher", "recipe"]
    assert [line["epoch"] for line in open_run(path).record.trained] == [1, 2]
    assert (path / "curves.png").is_file()
    # A learning rate that destroys the weights: the start stays the best.
    worse = recipe_of(init=str(path / "teacher"), lr=1e3, epochs=1)
    train(worse, Run(tmp_path), KeepTraining())
    best = json.loads((tmp_path / "summary.json").read_text())["best"]
    assert best["epoch"] == 0 and best["validation_accuracy"] == found[0]["validation_accuracy"]
    state = load_file(tmp_path / "model.safetensors")
    name = "body.readout.linear.weight"
    assert torch.equal(state[name], load_file(path / "teacher/model.safetensors")[name])


@pytest.mark.slow
def test_a_conversion_that_is_trained_on_is_the_training_from_that_start(
    tmp_path, converted, whole
):
    shutil.copytree(converted, tmp_path / "run")
    with pytest.warns(UserWarning, match="train.epochs 0 → 2"):
        train(recipe_of(), Run(tmp_path / "run"), KeepTraining(), resume=True)
    assert same(tmp_path / "run", whole[0])


def test_a_start_with_an_average_of_the_weights(tmp_path, converted):
    """The average begins with the weights of the start."""
    recipe = recipe_of(init=str(converted / "teacher"), epochs=0, ema=0.9)
    train(recipe, Run(tmp_path), KeepTraining())
    assert same(converted, tmp_path, ("model.safetensors", "metrics.jsonl"))


CALLS = 42
"""Of `stop`, about: in each of five epochs (three of the counterpart) six batches, a validation and
the end, and a validation of the start."""


@pytest.mark.slow
@pytest.mark.parametrize("call", range(0, CALLS, 3))
def test_a_training_stopped_anywhere_ends_with_the_same_bytes(whole, tmp_path, call):
    run = Run(tmp_path)
    if train(recipe_of(checkpoint_steps=1), run, KeepTraining(), stop=StopAfter(call)) is None:
        assert not run.finished
        train(recipe_of(checkpoint_steps=1), run, KeepTraining(), resume=True)
    assert same(tmp_path, whole[0])


class Killed(BaseException):
    """Ends a training as a kill would: nothing after it is written."""


def kill_at(monkeypatch, name):
    def killed(*arguments, **options):
        raise Killed

    monkeypatch.setattr(loop, name, killed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, finished_parts",
    [
        ("begin_from_start", {"teacher"}),  # the counterpart is trained, the start not made
        ("write_json", {"teacher"}),  # made, and nothing of it written
        ("validate_start", {"teacher", "environment.json"}),
        ("save", {"teacher", "environment.json"}),
        ("write_bytes", {"teacher", "environment.json", "checkpoints"}),
        ("write_results", {"teacher", "environment.json", "model.safetensors", "checkpoints"}),
        ("train_epoch", {"teacher", "environment.json", "model.safetensors", "metrics.jsonl"}),
    ],
)
def test_a_training_killed_around_its_start_ends_with_the_same_bytes(
    whole, tmp_path, monkeypatch, name, finished_parts
):
    """Killed after the counterpart, at each border of the start."""
    run = Run(tmp_path)
    shutil.copytree(whole[0] / "teacher", tmp_path / "teacher")
    with monkeypatch.context() as patch:
        kill_at(patch, name)
        with pytest.raises(Killed):
            train(recipe_of(), run, KeepTraining())
    assert finished_parts <= {path.name for path in tmp_path.iterdir()}
    observer = KeepTraining()
    train(recipe_of(), run, observer, resume=True)
    assert observer.names == ["recipe"]  # the counterpart is not trained again
    assert same(tmp_path, whole[0])
    assert "start" in json.loads(run.environment.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [1, 2])
def test_a_training_killed_in_its_counterpart_ends_with_the_same_bytes(
    whole, tmp_path, monkeypatch, epoch
):
    """Killed in the second or the last epoch of the counterpart, after a step of it."""
    run, begun = Run(tmp_path), []
    original = loop.train_epoch

    def killed(training, observer, stop):
        begun.append(training.progress.epoch)
        if begun[-1] == epoch:
            calls = iter(range(100))
            original(training, observer, lambda: next(calls) == 1 and kill())
        original(training, observer, stop)

    def kill():
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_epoch", killed)
        with pytest.raises(Killed):
            train(recipe_of(), run, KeepTraining())
    assert begun == list(range(epoch + 1)) and not (tmp_path / "environment.json").exists()
    observer = KeepTraining()
    train(recipe_of(), run, observer, resume=True)
    assert observer.names == ["recipe-teacher", "recipe"] and same(tmp_path, whole[0])


@pytest.mark.slow
def test_a_start_that_was_forgotten_is_noticed(whole, tmp_path, monkeypatch):
    """Negative control: without the start the resumed training ends with other bytes."""
    run = Run(tmp_path)
    shutil.copytree(whole[0] / "teacher", tmp_path / "teacher")
    with monkeypatch.context() as patch:
        kill_at(patch, "begin_from_start")
        with pytest.raises(Killed):
            train(recipe_of(), run, KeepTraining())
    monkeypatch.setattr(loop, "begin_from_start", lambda training: None)
    train(recipe_of(), run, KeepTraining(), resume=True)
    assert not same(tmp_path, whole[0], ("model.safetensors",))


@pytest.mark.slow
def test_the_source_is_not_needed_once_there_is_a_checkpoint(tmp_path, converted, whole):
    shutil.copytree(converted / "teacher", tmp_path / "ann")
    recipe, run = recipe_of(init=str(tmp_path / "ann")), folder(tmp_path / "run")
    assert train(recipe, run, KeepTraining(), stop=StopAfter(4)) is None
    shutil.rmtree(tmp_path / "ann")
    train(recipe, run, KeepTraining(), resume=True)
    assert same(run.path, whole[0], ("model.safetensors", "metrics.jsonl"))
    assert json.loads(run.environment.read_text())["start"]["init"] == str(tmp_path / "ann")


@pytest.mark.slow
def test_other_weights_than_those_it_began_with_are_refused(tmp_path, converted, monkeypatch):
    shutil.copytree(converted / "teacher", tmp_path / "ann")
    recipe, run = recipe_of(init=str(tmp_path / "ann")), folder(tmp_path / "run")
    with monkeypatch.context() as patch:
        kill_at(patch, "validate_start")
        with pytest.raises(Killed):
            train(recipe, run, KeepTraining())
    other = recipe_of({"model": {**RECIPE["model"], "neuron": "relu"}, "neuron": {}}, init="none")
    train(other, folder(tmp_path / "other"), KeepTraining())
    shutil.copy(tmp_path / "other/model.safetensors", tmp_path / "ann")
    with pytest.raises(DataError, match="has changed since it was trained"):
        train(recipe, run, KeepTraining(), resume=True)
    shutil.copy(tmp_path / "other/summary.json", tmp_path / "ann")
    with pytest.raises(DataError, match="are not those that .* began with"):
        train(recipe, run, KeepTraining(), resume=True)


@pytest.mark.slow
def test_teacher_and_start_are_one_counterpart(tmp_path, whole):
    recipe = recipe_of({"method": {"name": "distillation"}}, epochs=1)
    observer = KeepTraining()
    train(recipe, Run(tmp_path), observer)
    assert observer.names == ["recipe-teacher", "recipe"]
    assert same(tmp_path, whole[0], ("teacher/model.safetensors",))
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert environment["teacher"] == environment["start"]["fingerprint"]
    assert lines(tmp_path)[0] == lines(whole[0])[0]


def test_other_neurons_get_the_weights_alone_and_that_is_said(tmp_path, converted):
    tables = {"model": {**RECIPE["model"], "neuron": "adaptive"}, "neuron": {}}
    recipe = recipe_of(tables, init=str(converted / "teacher"), epochs=0)
    observer = KeepTraining()
    train(recipe, Run(tmp_path), observer)
    start = observer.training.start
    assert start["calibrated"] == [] and start["not_calibrated"] == {"spikes1": "no amplitude"}
    assert "body.spikes1.neuron.leak" in start["kept"]
    assert start_notes(start) == [
        f"start: the weights of {converted / 'teacher'}",
        "not calibrated (no amplitude): spikes1",
    ]
    name = "body.linear1.analog.1.weight"
    assert torch.equal(load_run(tmp_path).state_dict()[name],
                       load_run(converted / "teacher").state_dict()[name])  # fmt: skip


@pytest.mark.parametrize(
    "tables, options, error, message",
    [
        ({}, {"init": "nowhere"}, DataError, "nowhere is not a run"),
        ({"model": {"name": "mlp", "features": [9], "neuron": "integrate"}}, {"init": "TEACHER"},
         ConfigError, "cannot be the start of this network"),
        ({"neuron": {"leak": 0.9}}, {}, ConfigError, "leak 0.9 and gain 1.0 cannot be calibrated"),
        ({"neuron": {"leak": 0.9}}, {"init": "TEACHER"}, ConfigError, "cannot be calibrated"),
        ({"model": {"name": "rsnn", "features": [24]}, "neuron": {}}, {}, ConfigError,
         "rsnn has no ANN counterpart: recurrent weights receive spikes"),
        ({"model": {"name": "lstm", "features": [24]}, "neuron": {}}, {}, ConfigError,
         "lstm has no ANN counterpart"),
    ],
)  # fmt: skip
def test_a_start_that_does_not_fit_is_refused_before_anything_is_written(
    tmp_path, converted, tables, options, error, message
):
    options = {key: str(converted / "teacher") if value == "TEACHER" else value
               for key, value in options.items()}  # fmt: skip
    with pytest.raises(error, match=message):
        train(recipe_of(tables, **options), folder(tmp_path / "run"), KeepTraining())
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_first_stage_begins_with_the_weights_of_the_start(tmp_path, converted, monkeypatch):
    """A method sees them, and once only."""
    seen = []

    def begin(self, training, stage):
        seen.append(training.model.state_dict()["body.readout.linear.weight"].clone())
        return []

    monkeypatch.setattr(Bptt, "begin", begin)
    recipe = recipe_of(init=str(converted / "teacher"), epochs=1)
    assert prepare(recipe, Run(tmp_path)).waits and seen == []
    train(recipe, Run(tmp_path), KeepTraining())
    assert len(seen) == 1
    expected = load_run(converted / "teacher").state_dict()["body.readout.linear.weight"]
    assert torch.equal(seen[0], expected)


def test_a_conversion_asks_no_method(tmp_path, converted, monkeypatch):
    for name in ("begin", "stages", "backward"):
        monkeypatch.setattr(Bptt, name, lambda *arguments: pytest.fail("it was asked"))
    train(recipe_of(init=str(converted), epochs=0), Run(tmp_path), KeepTraining())
    assert read_record(Run(tmp_path)).state == "finished"


class Frozen(Bptt):
    """Only the readout learns."""

    name = "frozen"

    def begin(self, training, stage):
        *layers, _ = training.model.body
        for layer in layers:
            layer.requires_grad_(False)
        return []


@pytest.mark.slow
def test_a_conversion_is_trained_on_by_a_method_that_freezes_layers(tmp_path, monkeypatch):
    point = type("Point", (), {"value": "x", "load": lambda self: Frozen})()
    monkeypatch.setitem(method_registry.__dict__, "_external", {"frozen": point})
    tables = {"method": {"name": "frozen"}}
    whole, run = folder(tmp_path / "whole"), folder(tmp_path / "run")
    train(recipe_of(tables), whole, KeepTraining())
    train(recipe_of(tables, epochs=0, ann_epochs=3), run, KeepTraining())
    train(recipe_of(tables), run, KeepTraining(), resume=True)
    assert same(whole.path, run.path)


def test_a_readout_that_counts_has_a_counterpart_of_one_step():
    tables = {"readout": {"name": "first-crossing", "quantity": "count", "level": 2.0}}
    counterpart = ann_counterpart(recipe_of(tables))
    assert counterpart.coding.steps == 1 and counterpart.readout.options()["level"] == 0.0
    model = create_model(
        "mlp", in_shape=(1, 4, 4), classes=3, steps=4, coding="direct", readout="first-crossing",
        readout_options={"quantity": "count", "level": 2.0},
    )  # fmt: skip
    assert float(sum(layer.dense.sum() for layer in dense_ann_counts(model).layers)) > 0


@pytest.mark.parametrize("loss", ["mean", "van-rossum"])
def test_a_readout_of_spikes_has_a_counterpart_without_them(loss):
    tables = {"readout": {"name": "spikes", "tau": 2.0}}
    recipe = recipe_of(tables, loss=loss)
    counterpart = ann_counterpart(recipe)
    assert (counterpart.readout.name, counterpart.readout.options()) == ("mean", {})
    assert counterpart.train.loss == "mean"
    # Negative control: other readouts stay.
    assert ann_counterpart(recipe_of({"readout": {"name": "last"}})).readout.name == "last"
    model = create_model(
        "mlp", in_shape=(1, 4, 4), classes=3, steps=4, coding="direct", readout="spikes"
    )
    config = ann_config(model)
    assert (config["readout"], config["readout_options"]) == ("mean", {})
    transfer = plan_transfer(create_model(**config), model, "the ANN")
    assert {"body.readout.linear.weight", "body.readout.linear.bias"} <= transfer.tensors.keys()
