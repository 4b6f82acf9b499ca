"""The same commands for networks of single spikes, and for those that fire at random."""

import json
import os
import signal

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
    checked = cli("export", run, "--check", "sequence/model.onnx", "--noise", "off", "--json")
    assert checked.code == 0, checked.err
    nir = cli("export", run, "--format", "nir", "--noise", "off")
    assert nir.code == 2 and "answers at the first crossing of a level" in nir.err
    unknown = cli("eval", run, "--noise", "of")
    assert unknown.code == 2 and "unknown --noise 'of'" in unknown.err
