"""Counterparts with quantised activations, and those that see more frames than the network."""

import json
import shutil

import numpy as np
import pytest
import torch

from asnn.core.errors import ConfigError, DataError
from asnn.learning import check_recipe, prepare, train
from asnn.learning.counterpart import find_ann
from asnn.learning.start.begin import start_notes
from asnn.learning.trained import ann_counterpart
from asnn.models import load_run
from asnn.records.layout import Run
from asnn.records.open_run import open_run
from asnn.records.record import read_record
from tests.support.trainings import KeepTraining, StopAfter

IMAGES = {
    "data": {"limit": 200},
    "coding": {"name": "direct", "steps": 4},
    "model": {"name": "mlp", "features": [16], "neuron": "integrate", "output_scale": False},
    "neuron": {"most": 2, "fraction": 0.5},
    "train": {
        "epochs": 0, "ann_epochs": 2, "ann_lr": 0.02, "ann_neuron": "qcfs", "init": "ann",
        "batch_size": 50, "lr": 0.01, "schedule": "constant", "device": "cpu",
    },
}  # fmt: skip
EVENTS, COUNT = 40, 90
FILES = ("model.safetensors", "metrics.jsonl", "teacher/model.safetensors")


def images(tables=None, **options):
    document = {**IMAGES, **(tables or {})}
    return check_recipe({**document, "train": {**IMAGES["train"], **options}})


def write_events(path):
    """Write recordings of 10 ms of a sensor of 8 x 8, whose class is where the events are."""
    random = np.random.default_rng(0)
    labels = np.arange(COUNT) % 3
    np.savez(
        path,
        t=np.sort(random.integers(0, 10_000, (COUNT, EVENTS)), 1).reshape(-1),
        x=(random.integers(0, 4, (COUNT, EVENTS)) + 2 * labels[:, None]).reshape(-1),
        y=random.integers(0, 8, COUNT * EVENTS),
        p=random.integers(0, 2, COUNT * EVENTS),
        offsets=np.arange(COUNT + 1) * EVENTS,
        labels=labels,
    )


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """Return a function that makes recipes of a network of 2 frames, its counterpart of 10."""
    path = tmp_path_factory.mktemp("data") / "events.npz"
    write_events(path)

    def recipe(method=None, coding=None, model=None, **options):
        frames = {"name": "frames", "steps": 2, "windows": 10, "value": "count"}
        return check_recipe(
            {
                **IMAGES,
                "data": {"name": "events-npz", "path": str(path), "test": 0.3},
                "coding": {**frames, **(coding or {})},
                "model": {**IMAGES["model"], **(model or {})},
                "method": {"name": "distillation", "mode": "add", "weight": 1.0, **(method or {})},
                "train": {
                    **IMAGES["train"], "epochs": 2, "ann_steps": "all", "ann_levels": 8,
                    "batch_size": 20, **options,
                },
            }
        )  # fmt: skip

    return recipe


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    path = tmp_path_factory.mktemp("converted")
    train(images(), Run(path), KeepTraining())
    return path


@pytest.fixture(scope="module")
def taught(tmp_path_factory, events):
    path, observer = tmp_path_factory.mktemp("taught"), KeepTraining()
    train(events(), Run(path), observer)
    return path, observer


def folder(path):
    path.mkdir()
    return Run(path)


def test_the_counterpart_has_the_levels_and_granularity_of_the_neurons():
    recipe = ann_counterpart(images())
    assert recipe.model.neuron == "qcfs" and recipe.train.lr == 0.02
    assert recipe.neuron.options() == {"levels": 8, "scale": 4.0, "granularity": "layer"}
    assert recipe.description == "ANN counterpart of recipe: clipped and quantised ReLU, one step"
    assert "ann_neuron" not in recipe.train.model_fields_set and recipe.train.init == "none"
    by_channel = images({"neuron": {"granularity": "channel"}}, ann_levels=16)
    assert ann_counterpart(by_channel).neuron.options()["levels"] == 16
    assert ann_counterpart(by_channel).neuron.options()["granularity"] == "channel"
    of_others = images({"model": {"name": "mlp"}, "neuron": {}}, ann_lr=None)
    assert ann_counterpart(of_others).neuron.options()["levels"] == 4
    assert ann_counterpart(of_others).train.lr == 0.01


def test_a_conversion_equals_its_counterpart_in_the_first_layer(converted):
    """T = 4 and m = 2 for L = 8: the mean output of the first layer is the activation, exactly."""
    ann, model = load_run(converted / "teacher").double(), load_run(converted).double()
    x = open_run(converted).data.test.inputs[:50].double() / 16
    with torch.no_grad():
        current = model.body.spikes1.norm(model.body.linear1(model.coding.encode(x)))
        activation = ann.body.spikes1(ann.body.linear1(ann.coding.encode(x)))[0]
        spikes = model.body.spikes1(model.body.linear1(model.coding.encode(x)))
        assert float((spikes.mean(0) - activation).abs().max()) < 1e-9
        assert 0.1 < float((activation > 0).double().mean()) < 0.9
        torch.testing.assert_close(model(x).mean(0), ann(x)[0], atol=1e-9, rtol=1e-9)
        # Negative controls: rounded down, and other steps.
        model.body.spikes1.neuron.options = model.body.spikes1.neuron.options._replace(fraction=1.0)
        assert float((model.body.spikes1.neuron(current).mean(0) - activation).abs().max()) > 0.1
        model.body.spikes1.neuron.options = model.body.spikes1.neuron.options._replace(fraction=0.5)
        assert (
            float((model.body.spikes1.neuron(current[:3]).mean(0) - activation).abs().max()) > 0.1
        )


def test_the_scale_becomes_the_amplitude_and_nothing_is_calibrated(converted):
    scale = float(load_run(converted / "teacher").body.spikes1.neuron.raw_scale.detach())
    assert scale != 4.0
    assert float(load_run(converted).body.spikes1.neuron.amplitude) == pytest.approx(scale / 2)
    start = json.loads((converted / "environment.json").read_text())["start"]
    assert (start["calibrate"], start["samples"]) == ("learned", 0)
    assert start["calibrated"] == ["spikes1"] and start["not_calibrated"] == {}
    assert start_notes(start) == [
        "start: the weights of the ANN counterpart",
        "from the greatest activations that the ANN has learned: the amplitudes of spikes1",
    ]


def test_without_calibration_the_amplitude_stays(tmp_path, converted):
    recipe = images(init=str(converted / "teacher"), calibrate="none")
    train(recipe, Run(tmp_path), KeepTraining())
    assert float(load_run(tmp_path).body.spikes1.neuron.amplitude) == 1


@pytest.mark.slow
def test_a_run_of_scales_by_channel_needs_amplitudes_by_channel(tmp_path):
    by_channel = {"neuron": {"fraction": 0.5, "granularity": "channel"}}
    train(images(by_channel), folder(tmp_path / "a"), KeepTraining())
    assert load_run(tmp_path / "a").body.spikes1.neuron.amplitude.shape == (16,)
    source = str(tmp_path / "a" / "teacher")
    with pytest.raises(ConfigError, match="a greatest activation of each channel"):
        train(images(init=source), folder(tmp_path / "b"), KeepTraining())
    assert not (tmp_path / "b").exists()


def test_a_counterpart_has_no_spikes_in_reports_of_it(converted):
    record = read_record(Run(converted / "teacher"))
    assert not record.has_spikes and record.best("spike_rate") is None
    assert read_record(Run(converted)).has_spikes


def test_the_teacher_sees_all_frames_and_the_network_the_first_two(taught):
    _, observer = taught
    assert observer.names == ["recipe-teacher", "recipe"]
    method, model = observer.training.method, observer.training.model
    assert (method.network.coding.steps, method.network.coding.windows) == (10, 10)
    assert (model.coding.steps, model.coding.windows) == (2, 10)
    x = observer.training.data.test.inputs.batch(torch.arange(5))
    assert torch.equal(model.coding.encode(x), method.network.coding.encode(x)[:2])


@pytest.mark.slow
@pytest.mark.parametrize("calls", [2, 7, 9, 13])
def test_stopped_in_the_teacher_or_after_it_it_ends_with_the_same_bytes(
    tmp_path, events, taught, calls
):
    run = Run(tmp_path)
    assert train(events(), run, KeepTraining(), stop=StopAfter(calls)) is None
    assert train(events(), run, KeepTraining(), resume=True)["finished"]
    assert all((tmp_path / n).read_bytes() == (taught[0] / n).read_bytes() for n in FILES)


@pytest.mark.slow
@pytest.mark.parametrize("frames", ["last", "spread"])
def test_other_frames_of_the_network(tmp_path, events, frames):
    observer = KeepTraining()
    train(events(coding={"frames": frames}, epochs=1), Run(tmp_path), observer)
    model, teacher = observer.training.model, observer.training.method.network
    x = observer.training.data.test.inputs.batch(torch.arange(5))
    steps = {"last": [8, 9], "spread": [2, 7]}[frames]
    assert torch.equal(model.coding.encode(x), teacher.coding.encode(x)[steps])


def test_the_counterpart_of_all_frames_is_compared_by_energy(taught):
    """As its own teacher, and named with --ann; a counterpart of the network's frames fits too."""
    run = open_run(taught[0])
    assert find_ann(run, None).coding.steps == 10
    assert find_ann(run, taught[0] / "teacher").coding.steps == 10
    with pytest.raises(ConfigError, match="its neuron is 'integrate', not 'relu'"):
        find_ann(run, taught[0])


@pytest.mark.slow
def test_one_counterpart_of_the_same_frames(tmp_path, events):
    train(events(ann_steps="own", epochs=1), Run(tmp_path), KeepTraining())
    assert load_run(tmp_path / "teacher").coding.steps == 2
    assert find_ann(open_run(tmp_path), tmp_path / "teacher").coding.steps == 2


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"ann_levels": 8, "ann_neuron": "relu"}, "train.ann_levels=8 has no effect"),
        ({"ann_steps": "all"}, "train.ann_steps=all is not for the code direct"),
    ],
)
def test_keys_that_contradict_each_other(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        prepare(images(**changes), Run(tmp_path))


def test_norms_by_step_do_not_start_from_those_of_other_steps(tmp_path, events):
    with pytest.raises(ConfigError, match="not for a start of batch norms by step") as caught:
        prepare(events(model={"norm": "per-step"}), Run(tmp_path))
    assert "model.norm=folded" in caught.value.remedy


@pytest.mark.slow
def test_a_teacher_is_the_same_when_it_is_trained_by_itself(tmp_path, events, taught):
    """The counterpart's recipe as a run of its own, then named as teacher and start."""
    shutil.copytree(taught[0] / "teacher", tmp_path / "ann")
    source = str(tmp_path / "ann")
    recipe = events({"teacher": source}, init=source)
    train(recipe, folder(tmp_path / "run"), KeepTraining())
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (taught[0] / name).read_bytes()
    shutil.copy(taught[0] / "model.safetensors", tmp_path / "ann")
    with pytest.raises(DataError, match="has changed since it was trained"):
        train(recipe, folder(tmp_path / "other"), KeepTraining())
