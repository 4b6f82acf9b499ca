"""Optical flow from its recipe to its files: trained, resumed, evaluated, reported, exported."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from asnn.learning.methods.bptt import Bptt

COUNT, EVENTS = 20, 240


def train(cli, out, *more):
    return cli(
        *("train", "flow-nmnist", "--out", out, "--set", "data.path=a.npz"),
        *("--set", "data.test_path=b.npz", "--set", "model.width=3", "--set", "coding.steps=3"),
        *("--set", "train.epochs=2", "--set", "train.batch_size=8", *more),
    )


@pytest.fixture
def recordings(tmp_path):
    for seed, name in enumerate(("a.npz", "b.npz")):
        random = np.random.default_rng(seed)
        np.savez(
            tmp_path / name,
            t=np.sort(random.integers(0, 320_000, (COUNT, EVENTS)), 1).reshape(-1),
            x=random.integers(8, 26, COUNT * EVENTS),
            y=random.integers(8, 26, COUNT * EVENTS),
            p=random.integers(0, 2, COUNT * EVENTS),
            offsets=np.arange(COUNT + 1) * EVENTS,
            labels=np.arange(COUNT) % 2,
        )


@pytest.mark.slow
def test_from_recipe_to_files(cli, recordings):
    done = train(cli, "run")
    assert done.code == 0, done.err
    assert json.loads(Path("run/summary.json").read_text())["metric"]["name"] == "aee"

    found = json.loads(cli("eval", "run", "--energy", "--json").out)
    assert found["samples"] == 3 * COUNT
    for key in ("aee", "outliers", "rsat", "fwl", "loss"):
        assert np.isfinite(found[key])
    assert len(found["aee_per_step"]) == 3
    assert found["aee_per_step"][-1] == pytest.approx(found["aee"], rel=1e-5)
    operations = {each["name"]: each["operation"] for each in found["energy"]["layers"]}
    assert operations["head.conv.analog"] == "mac"
    assert operations["g1.recurrent"] == operations["readout"] == "ac"

    noisy = cli("eval", "run", "--corrupt", "event-drop", "--json")
    assert noisy.code == 0, noisy.err
    assert cli("report", "run", "-o", "page.html").code == 0
    exported = cli("export", "run", "--format", "onnx", "--form", "stream", "--json")
    assert exported.code == 0, exported.err
    assert json.loads(exported.out)["verified"] is True
    refused = cli("export", "run", "--format", "nir")
    assert refused.code == 2 and "NIR" in refused.err
    assert "Traceback" not in cli("inspect", "run").err


@pytest.mark.slow
@pytest.mark.parametrize("neuron", ["plif", "xlif", "relu"])
def test_other_neurons_train_from_the_recipe(cli, recordings, neuron):
    done = train(cli, "run", "--set", f"model.neuron={neuron}", "--set", "task.warp=steps")
    assert done.code == 0, done.err
    assert "aee" in json.loads(cli("eval", "run", "--json").out)


@pytest.mark.slow
def test_a_training_resumes_bit_for_bit(cli, recordings, monkeypatch):
    augment = ("--set", "augment.flip=true", "--set", "augment.shift=1")
    assert train(cli, "whole", *augment).code == 0
    original, made = Bptt.backward, iter(range(1, 100))

    def interrupted(*arguments):
        if next(made) == 9:  # in the second epoch
            monkeypatch.setattr(Bptt, "backward", original)
            os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(Bptt, "backward", interrupted)
    assert train(cli, "parts", *augment).code == 130
    done = cli("train", "--resume", "parts")
    assert done.code == 0, done.err
    weights = [Path(run, "model.safetensors").read_bytes() for run in ("whole", "parts")]
    assert weights[0] == weights[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("task.name=classification", "this network is for the task flow, not classification"),
        ("augment.stretch=0.2", "augment.stretch would leave the flow of the recordings wrong"),
        ("model.neuron=adaptive", "this network cannot use neurons AdaptiveLeaky"),
        ("coding.downsample=2", "the code has frames of 17×17 pixels, the sensor has 34×34"),
    ],
)
def test_what_does_not_go_together_is_refused(cli, recordings, key, text):
    done = train(cli, "run", "--set", key)
    assert done.code in (2, 4) and text in done.err, done.err
    assert not Path("run").exists()
