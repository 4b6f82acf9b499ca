"""A hybrid network from its recipe to its files: evaluated, compared, reported, exported."""

import json
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest

from asnn.learning.methods.bptt import Bptt

COUNT, EVENTS = 80, 60


def train(cli, out, *more, neuron=("--set", "neuron.threshold=0.5")):
    return cli(
        *("train", "hybrid-nmnist", "--out", out, "--set", "data.path=halves.npz"),
        *("--set", "data.test_path=test.npz", "--set", "data.duration=9"),
        *("--set", "coding.steps=6", "--set", "model.windows=3", "--set", "model.backbone=[4]"),
        *("--set", "model.convs=[5]", "--set", "model.hidden=[8]", *neuron),
        *("--set", "train.epochs=4", "--set", "train.batch_size=8", "--set", "augment.shift=0"),
        *("--set", "train.lr=0.02", *more),
    )


@pytest.fixture
def recordings(tmp_path):
    """Recordings whose class is the half of the sensor in which the events are."""
    labels = np.arange(COUNT) % 2
    for seed, name in enumerate(("halves.npz", "test.npz")):
        random = np.random.default_rng(seed)
        x = random.integers(0, 4, (COUNT, EVENTS)) + 4 * labels[:, None]
        np.savez(
            tmp_path / name,
            t=np.sort(random.integers(0, 9_000, (COUNT, EVENTS)), 1).reshape(-1),
            x=x.reshape(-1),
            y=random.integers(0, 8, COUNT * EVENTS),
            p=random.integers(0, 2, COUNT * EVENTS),
            offsets=np.arange(COUNT + 1) * EVENTS,
            labels=labels,
        )


@pytest.mark.slow
def test_from_recipe_to_files(cli, recordings):
    done = train(cli, "run")
    assert done.code == 0, done.err
    relu = ("model.neuron=relu", "coding.steps=3", "coding.value=log-count")
    ann = train(cli, "ann", *(part for each in relu for part in ("--set", each)), neuron=())
    assert ann.code == 0, ann.err

    asked = ("--energy", "--ann", "ann", "--exit", "confidence=0.9")
    found = json.loads(cli("eval", "run", *asked, "--json").out)
    assert (found["steps"], found["output_steps"]) == (6, [2, 4, 6])
    assert len(found["accuracy_per_step"]) == 3 and found["accuracy"] == 1.0
    assert [row["steps"] for row in found["exits"][:3]] == [2, 4, 6]
    (crossing,) = found["energy"]["crossings"]
    assert crossing["bits"] == min(crossing["bits_as_addresses"], crossing["bits_as_counts"]) > 0
    assert found["energy"]["ann_twin"]["trained"]["accumulates"] == 0

    shown = cli("eval", "run", "--energy").err
    assert "an output is known at the end of each window, after step 2, 4, 6" in shown
    assert "of a sample cross it, the lesser of" in shown
    early = json.loads(cli("eval", "run", "--steps", "5", "--json").out)
    assert (early["steps"], early["output_steps"]) == (4, [2, 4])
    refused = cli("eval", "run", "--steps", "1")
    assert refused.code == 2 and "--steps must be from 2 to 6" in refused.err
    other = cli("eval", "run", "--ann", "run")
    assert other.code == 2 and "--set coding.steps=3 --set coding.value=log-count" in other.err

    assert cli("report", "run", "-o", "page.html").code == 0
    page = Path("page.html").read_text(encoding="utf-8")
    assert "of a sample cross it, the lesser of" in page
    assert re.search("Accuracy (rises|goes) from .{3,9} at step 2 to .{3,9} at step 6", page)

    for form in ("sequence", "parts"):
        exported = cli("export", "run", "--format", "onnx", "--form", form, "--json")
        assert exported.code == 0, exported.err
    answers = [
        json.loads(cli("predict", file, "halves.npz", "--json").out.splitlines()[0])
        for file in ("run", "run/export/onnx/model.onnx", "run/export/onnx-parts/model-head.onnx")
    ]
    assert len({(each["class"], each["step"]) for each in answers}) == 1
    assert answers[0]["step"] == 6


@pytest.mark.slow
def test_a_training_resumes_bit_for_bit(cli, recordings, monkeypatch):
    assert train(cli, "whole").code == 0
    original, made = Bptt.backward, iter(range(1, 14))

    def interrupted(*arguments):
        if next(made) == 13:  # in the second epoch
            monkeypatch.setattr(Bptt, "backward", original)
            os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(Bptt, "backward", interrupted)
    assert train(cli, "parts").code == 130
    done = cli("train", "--resume", "parts")
    assert done.code == 0, done.err
    weights = [Path(run, "model.safetensors").read_bytes() for run in ("whole", "parts")]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_windows_that_do_not_divide_the_steps_are_refused(cli, recordings):
    done = train(cli, "run", "--set", "model.windows=4")
    assert done.code == 2 and not Path("run").exists()
    assert "4 windows do not divide 6 steps" in done.err and "1, 2, 3, 6 windows" in done.err
