"""The same commands for rank coding: train, evaluate, predict, export; the stream stops early."""

import json
import os
import signal

import numpy as np
import pytest

from asnn.datasets.sources.series.noise_task import ceiling, load_noise_task
from asnn.exporters.onnx import runtime
from asnn.learning.methods.bptt import Bptt


def words(*keys):
    return [word for key in keys for word in ("--set", key)]


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


RANK = words("data.samples=3000", "model.features=[12]", "train.lr=0.01", "readout.level=0.8")


@pytest.mark.slow
def test_rank_coding_from_training_to_export(cli, tmp_path, monkeypatch):
    trained = cli("train", "rank", *RANK, "--set", "train.epochs=3", "--out", "run")
    assert trained.code == 0 and "at step" in trained.err, trained.err
    rows = lines((tmp_path / "run/metrics.jsonl").read_text())
    steps = [row["validation_mean_step"] for row in rows]
    assert steps[-1] < steps[0] and 0 <= rows[-1]["validation_undecided"] < 1

    shown = cli("eval", "run")
    assert "decided after" in shown.err and "% undecided" in shown.err
    found = json.loads(cli("eval", "run", "--energy", "--json").out)
    decision = found["decision"]
    assert decision["steps"] == pytest.approx(found["mean_step"]) and found["mean_step"] < 30
    assert decision["accuracy"] == pytest.approx(found["accuracy"])
    assert found["accuracy_per_step"][-1] == pytest.approx(found["accuracy"])
    noise = 3 * (0.25 / 20_000) ** 0.5
    assert 0.7 < found["accuracy"] < ceiling(40) + noise
    # The products of an LSTM are the same at every step: those up to the decision are counted.
    share = decision["picojoules"] / found["energy"]["picojoules_per_sample"]
    assert share == pytest.approx(found["mean_step"] / 40, abs=0.03)

    x = load_noise_task(samples=2).test.inputs[:8].numpy()
    np.save(tmp_path / "x.npy", x)
    answers = [
        json.loads(line) for line in cli("predict", "run", "x.npy", "--json").out.splitlines()
    ]
    steps = [each["step"] for each in answers]
    assert max(steps) < 40 and len(set(steps)) > 1 and all(each["decided"] for each in answers)

    for form in ("sequence", "stream", "scan"):
        onnx = cli("export", "run", "--format", "onnx", "--form", form, "-o", form, "--json")
        assert onnx.code == 0 and json.loads(onnx.out)["verified"] is True, onnx.err
    calls, original = [], runtime.OnnxSession.run
    counted = lambda self, inputs: (calls.append("t" in inputs), original(self, inputs))[1]  # noqa: E731
    monkeypatch.setattr(runtime.OnnxSession, "run", counted)
    (file,) = (tmp_path / "stream").glob("*step.onnx")
    for arguments in (["run", "--runtime", "onnxruntime"], [str(file)]):
        calls.clear()
        again = lines(cli("predict", *arguments, "x.npy", "--json").out)
        assert [(each["index"], each["step"]) for each in again] == [
            (each["index"], each["step"]) for each in answers
        ]
        assert sum(calls) == max(steps)
    nir = cli("export", "run", "--format", "nir")
    assert nir.code == 2 and "NIR" in nir.err


@pytest.mark.slow
def test_a_stopped_training_ends_with_the_same_bytes(cli, tmp_path):
    recipe = ["rank", *RANK, *words("data.samples=600", "train.epochs=2", "train.entropy=0.05")]
    assert cli("train", *recipe, "--out", "whole").code == 0
    made, original = [], Bptt.backward

    def interrupted(*arguments):
        made.append(None)
        if len(made) == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bptt, "backward", interrupted)
        assert cli("train", *recipe, "--out", "resumed").code == 143
    assert cli("train", "--resume", "resumed").code == 0
    for file in ("model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "resumed" / file).read_bytes() == (
            tmp_path / "whole" / file
        ).read_bytes()


@pytest.mark.slow
def test_a_training_that_never_decides_early_says_so(cli):
    late = cli(
        "train", "rank-mnist", "--out", "late",
        *words("data.name=digits", "data.limit=128", "coding.background=last", "coding.steps=4",
               "model.features=[8]", "train.epochs=1", "train.lr=1e-5", "readout.level=0.99"),
    )  # fmt: skip
    assert late.code == 0, late.err
    text = " ".join(late.err.split())
    assert "no epoch has decided before the last step (mean step 4.00 of 4)" in text
    assert "train.loss=rank has taught that step alone" in text


def test_a_loss_without_its_decisions_is_refused(cli):
    refused = cli("train", "rank", "--set", "readout.name=last", "--out", "no")
    text = " ".join(refused.err.split())
    assert refused.code == 2 and "the loss rank needs a readout that answers at the first" in text
