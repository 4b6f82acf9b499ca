"""The same commands for networks of bursts, taught layer by layer, whose first spikes decide."""

import json

import pytest

KEYS = [
    "model.name=mlp", "model.features=[16,12]", "model.neuron=integrate", "neuron.most=5",
    "model.output_scale=false", "neuron.gradient=straight-through", "coding.name=direct",
    "coding.steps=4", "data.limit=160", "readout.name=first-crossing",
    "readout.quantity=potential", "readout.psp=[2.0,0.5]", "readout.level=2.0", "method.name=ltl",
    "method.readout_epochs=1", "train.init=ann", "train.ann_epochs=4", "train.epochs=2",
    "train.batch_size=32", "train.lr=0.003", "train.loss=mean",
]  # fmt: skip
RECIPE = [word for key in KEYS for word in ("--set", key)]


@pytest.fixture
def run(cli):
    done = cli("train", *RECIPE, "--out", "run", "--json")
    assert done.code == 0, done.err
    assert "stage" in json.loads(done.out)["best"]
    assert "epoch 1/2  stage layers  loss" in done.err
    assert "epoch 2/2  stage readout  loss" in done.err
    assert "calibrated (mse, 160 samples): the amplitudes of spikes1, spikes2" in done.err
    return "run"


@pytest.mark.slow
def test_from_training_to_export(cli, run):
    found = json.loads(cli("eval", run, "--energy", "--json").out)
    assert found["burst_shares"].keys() == {"spikes1", "spikes2"}
    assert all(0 < share < 1 for share in found["burst_shares"].values())
    assert 1 <= found["mean_step"] < 4 and 0 <= found["undecided"] < 1
    assert found["decision"]["steps"] == pytest.approx(found["mean_step"])
    layers = {layer["name"]: layer for layer in found["energy"]["layers"]}
    assert layers["linear2"]["operation"] == "ac"
    assert layers["readout.psp"]["operation"] == layers["readout"]["operation"] == "mac"
    assert "neurons and steps with more than one spike: spikes1" in cli("eval", run).err

    for form in ("sequence", "stream", "scan"):
        onnx = cli("export", run, "--format", "onnx", "--form", form, "-o", form, "--json")
        assert onnx.code == 0 and json.loads(onnx.out)["verified"] is True, onnx.err
    nir = cli("export", run, "--format", "nir", "--json")
    assert nir.code == 0 and json.loads(nir.out)["verified"] is True, nir.err
    lif = cli("export", run, "--format", "nir", "--form", "lif")
    assert lif.code == 2 and "up to 5 spikes in a step" in lif.err
    assert "use --form portable; or train" in lif.err

    shown = cli("inspect", run).err
    for text in ("first-crossing", "psp", "ltl", "readout_epochs", "integrate", "amplitudes of"):
        assert text in shown, text
    content = json.loads(cli("inspect", run, "--json").out)
    assert content["readout"]["psp"] == [2.0, 0.5] and content["method"]["name"] == "ltl"
    assert content["schedules"]["spikes1"]["raw_amplitude"][0] > 0


@pytest.mark.slow
def test_with_a_mean_readout_it_is_exported_to_nir(cli):
    mean = [key for key in KEYS if not key.startswith(("readout.", "method.readout"))]
    words = [word for key in mean for word in ("--set", key)]
    assert cli("train", *words, "--set", "neuron.most=2", "--out", "mean").code == 0
    nir = cli("export", "mean", "--format", "nir", "--json")
    assert nir.code == 0 and json.loads(nir.out)["verified"] is True, nir.err


@pytest.mark.slow
def test_a_sweep_over_the_gain(cli):
    done = cli("sweep", *RECIPE, "--grid", "method.gain=1,5", "--out", "s", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["keys"] == ["method.gain"] and len(found["points"]) == 2


def test_a_recipe_without_a_start_is_refused(cli):
    done = cli("train", *RECIPE, "--set", "train.init=none", "--out", "none")
    assert done.code == 2
    assert "ltl learns the activations of an ANN, and the training starts from none" in done.err
    assert "set train.init=ann" in done.err
