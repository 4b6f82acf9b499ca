"""A method of another package that needs the ANN counterpart: its layers learn the activations."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn.functional import mse_loss

from asnn.learning import check_recipe, loop, train
from asnn.learning.methods import method_registry
from asnn.learning.methods.bptt import Bptt
from asnn.models.layers.spiking import layer_outputs
from asnn.records.layout import Run
from tests.support.trainings import KeepTraining, StopAfter

RECIPE = {
    "data": {"limit": 200},
    "coding": {"name": "direct", "steps": 6},
    "model": {"name": "mlp", "features": [16, 12], "neuron": "integrate"},
    "neuron": {"most": 3, "gradient": "straight-through"},
    "method": {"name": "layers"},
    "train": {
        "epochs": 2, "ann_epochs": 2, "batch_size": 50, "lr": 0.02, "device": "cpu",
    },
}  # fmt: skip


class Layers(Bptt):
    """Cross-entropy, and the mean square of each layer's mean output less the activation."""

    name = "layers"
    needs_counterpart = True

    def load(self, training):
        trained = training.load_trained("ann")
        self.ann, self.fingerprint = trained.model, trained.fingerprint
        self.distances = []

    def fingerprints(self):
        return {"counterpart": self.fingerprint}

    def backward(self, training, x, targets, weight):
        with layer_outputs(training.model) as self.outputs:
            return super().backward(training, x, targets, weight)

    def loss(self, training, outputs, x, targets):
        with layer_outputs(self.ann) as activations, torch.no_grad():
            self.ann(x)
        distance = sum(
            mse_loss(output.mean(0), activations[name].mean(0))
            for name, output in self.outputs.items()
        )
        self.distances.append(float(distance.detach()))
        return training.task.loss(outputs, targets) + distance


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    external = {"layers": type("Point", (), {"value": "x", "load": lambda self: Layers})()}
    monkeypatch.setitem(method_registry.__dict__, "_external", external)


@pytest.fixture
def whole(tmp_path):
    observer, run = KeepTraining(), Run(tmp_path / "whole")
    run.path.mkdir()
    train(check_recipe(RECIPE), run, observer)
    return run, observer


def test_it_learns_the_activations_and_its_counterpart_is_recorded(whole):
    run, observer = whole
    assert observer.names == ["recipe-teacher", "recipe"]
    distances = observer.training.method.distances
    assert len(distances) == 2 * 4 and distances[-1] < 0.8 * distances[0]
    environment = json.loads(run.environment.read_text())
    assert len(environment["counterpart"]) == 64 and "start" not in environment


@pytest.mark.slow
@pytest.mark.parametrize("calls", [3, 12, 14, 19])
def test_stopped_in_the_counterpart_or_after_it_it_ends_with_the_same_bytes(whole, tmp_path, calls):
    run = Run(tmp_path / "part")
    run.path.mkdir()
    assert train(check_recipe(RECIPE), run, KeepTraining(), stop=StopAfter(calls)) is None
    assert train(check_recipe(RECIPE), run, KeepTraining(), resume=True)["finished"]
    for name in ("model.safetensors", "metrics.jsonl", "teacher/model.safetensors"):
        assert (run.path / name).read_bytes() == (whole[0].path / name).read_bytes()


def test_the_loop_names_no_method():
    """What is trained first is the method's to say: the loop's text has no name of one."""
    text = Path(loop.__file__).read_text("utf-8")
    assert not any(name in text for name in method_registry.builtin)
