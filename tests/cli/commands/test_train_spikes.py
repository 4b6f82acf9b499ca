"""The same commands for networks of single spikes, and for those that fire at random."""

import json
import os
import signal

import numpy as np
import pytest

from asnn.learning.methods.bptt import Bptt

KEYS = [
    "model.name=mlp", "model.features=[12]", "coding.steps=3", "data.limit=96", "train.epochs=2",
    "train.batch_size=32",
]  # fmt: skip
ONCE = ["neuron.once=true"]
DRAWN = [
    "coding.name=direct", "neuron.noise=logistic", "readout.name=first-crossing",
    "readout.quantity=drawn", "train.loss=first-spike",
]  # fmt: skip


@pytest.fixture
def resumed(cli, tmp_path):
    """Train without a stop and with one in the second epoch; return the run if both are equal."""

    def train(*keys):
        recipe = [word for key in (*KEYS, *keys) for word in ("--set", key)]
        done = cli("train", *recipe, "--out", "uninterrupted")
        assert done.code == 0, done.err
        made, original = [], Bptt.backward

        def interrupted(*arguments):
            made.append(None)
            if len(made) == 4:  # in the second of two epochs of three batches
                os.kill(os.getpid(), signal.SIGTERM)
            return original(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Bptt, "backward", interrupted)
            assert cli("train", *recipe, "--out", "resumed").code == 143
        assert cli("train", "--resume", "resumed").code == 0
        for file in ("model.safetensors", "metrics.jsonl"):
            equal = (tmp_path / "uninterrupted" / file).read_bytes()
            assert (tmp_path / "resumed" / file).read_bytes() == equal, file
        return "resumed"

    return train


@pytest.mark.slow
def test_single_spikes_from_training_to_export(cli, resumed):
    run = resumed(*ONCE)
    found = json.loads(cli("eval", run, "--energy", "--json").out)
    assert "decision" not in found
    assert 0 < found["spikes_per_sample"] <= 12
    (neurons,) = found["energy"]["neurons"]
    assert neurons["updates"][0] == 12 > neurons["updates"][-1]
    for form in ("sequence", "stream", "scan"):
        onnx = cli("export", run, "--format", "onnx", "--form", form, "-o", form, "--json")
        assert onnx.code == 0 and json.loads(onnx.out)["verified"] is True, onnx.err
    nir = cli("export", run, "--format", "nir", "--json")
    assert nir.code == 0 and json.loads(nir.out)["verified"] is True, nir.err
    refused = cli("export", run, "--format", "onnx", "--noise", "off")
    assert refused.code == 2 and "leave --noise out" in refused.err


@pytest.mark.slow
def test_random_spikes_from_training_to_export(cli, resumed):
    run = resumed(*DRAWN)
    drawn, again, small = (
        json.loads(cli("eval", run, "--json", *options).out)
        for options in ([], [], ["--batch-size", "7"])
    )
    quiet = json.loads(cli("eval", run, "--noise", "off", "--energy", "--json").out)
    decision, total = quiet["decision"], quiet["energy"]["picojoules_per_sample"]
    assert decision["steps"] == pytest.approx(quiet["mean_step"]) and decision["leaving"][-1] < 1
    assert decision["accuracy"] == quiet["accuracy"]
    assert decision["spikes"] == quiet["spikes_to_decision"] < quiet["spikes_per_sample"]
    assert 0 < decision["picojoules"] <= total and quiet["mean_step"] < 3
    assert (drawn["draws"], drawn["noise"], quiet["draws"], quiet["noise"]) == (
        True, "on", False, "off",
    )  # fmt: skip
    figures = ("accuracy", "mean_step", "undecided", "spikes_per_sample")
    assert [drawn[key] for key in figures] == [again[key] for key in figures]
    # Another size of batches rounds sums differently, and draws the same numbers.
    assert [small[key] for key in figures] == pytest.approx(
        [drawn[key] for key in figures], rel=0.02
    )
    assert drawn["spikes_per_sample"] != quiet["spikes_per_sample"]
    repeats = json.loads(cli("eval", run, "--repeats", "2", "--json").out)["repeats"]
    assert repeats["spikes_per_sample"]["deviation"] > 0

    for format in ("onnx", "nir"):
        refused = cli("export", run, "--format", format)
        assert refused.code == 2 and "--noise off" in refused.err
    for form in ("sequence", "stream", "scan"):
        onnx = cli(
            "export",
            run,
            "--format",
            "onnx",
            "--form",
            form,
            "-o",
            form,
            "--noise",
            "off",
            "--json",
        )
        assert onnx.code == 0 and json.loads(onnx.out)["verified"] is True, onnx.err
    for option in (["--noise", "off"], []):  # by default as the file has it
        checked = cli("export", run, "--check", "sequence/model.onnx", *option, "--json")
        assert checked.code == 0, checked.err
    nir = cli("export", run, "--format", "nir", "--noise", "off", "--json")
    assert nir.code == 0 and json.loads(nir.out)["verified"] is True, nir.err
    unknown = cli("eval", run, "--noise", "of")
    assert unknown.code == 2 and "unknown --noise 'of'" in unknown.err


@pytest.mark.slow
def test_random_numbers_as_inputs_from_training_to_prediction(cli, tmp_path):
    recipe = [word for key in (*KEYS, *DRAWN, "train.epochs=1") for word in ("--set", key)]
    done = cli("train", *recipe, "--out", "run")
    assert done.code == 0, done.err
    numbers = np.random.default_rng(0).random((20, 1, 8, 8), np.float32)
    np.save("images.npy", numbers)
    expected = answers(cli("predict", "run", "images.npy", "--json").out)
    assert len({step for _, step, _ in expected}) > 1
    quiet = export(cli, "sequence", "off")
    for form in ("sequence", "stream", "scan"):
        file = export(cli, form, "input")
        checked = cli("export", "run", "--check", file, "--json")
        assert checked.code == 0 and json.loads(checked.out)["verified"] is True, checked.err
        assert answers(cli("predict", file, "images.npy", "--json").out) == expected
        other = cli("export", "run", "--check", file, "--noise", "off")
        assert other.code == 3 and "metadata 'noise' is 'input', not 'off'" in other.err
    assert answers(cli("predict", quiet, "images.npy", "--json").out) != expected
    by_onnx = cli(
        "predict", "run", "images.npy", "--runtime", "onnxruntime", "--batch-size", "3", "--json"
    )
    assert answers(by_onnx.out) == expected

    again = cli("export", "run", "--format", "onnx", "--noise", "input", "--weights", "int8")
    assert again.code == 0 and (tmp_path / "run/export/onnx-int8-noise/model.onnx").is_file()
    nir = cli("export", "run", "--format", "nir", "--noise", "input")
    assert nir.code == 2 and "draws at random, which NIR cannot express" in nir.err
    latency = json.loads(cli("eval", "run", "--latency", "--json").out)["latency"]
    assert "numpy draws the random numbers" in latency["ways"]["onnxruntime"]["note"]
    shown = json.loads(cli("inspect", export(cli, "sequence", "input"), "--json").out)
    assert shown["warnings"] == []

    cli("train", *(word for key in KEYS for word in ("--set", key)), "--out", "plain")
    nothing = cli("export", "plain", "--format", "onnx", "--noise", "input")
    assert nothing.code == 2 and "there is no noise that could be an input" in nothing.err
    # A file with noise is none of this network, whatever its metadata say of noise.
    assert cli("export", "plain", "--check", file).code == 3


def export(cli, form, noise):
    """Export the run, and return the file; of a stream one of the two."""
    folder = f"{form}-{noise}"
    options = ("--form", form, "--noise", noise, "-o", folder, "--json")
    done = cli("export", "run", "--format", "onnx", *options)
    assert done.code == 0 and json.loads(done.out)["verified"] is True, done.err
    return f"{folder}/model-step.onnx" if form == "stream" else f"{folder}/model.onnx"


def answers(lines):
    """The class, the step and whether it is decided, of each image."""
    found = [json.loads(line) for line in lines.splitlines()]
    return [(each["index"], each["step"], each["decided"]) for each in found]
