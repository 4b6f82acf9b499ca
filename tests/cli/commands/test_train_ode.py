"""The same commands for equations by least squares: train, resume, evaluate, export."""

import json

import pytest

SHORT = ["--set", "data.windows=6", "--set", "train.batch_size=6"]


@pytest.mark.slow
def test_an_equation_from_training_to_export(cli, tmp_path):
    trained = cli("train", "lorenz", *SHORT, "--set", "train.epochs=6", "--out", "run")
    assert trained.code == 0, trained.err
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["validation_mse"] < rows[0]["validation_mse"]

    found = json.loads(cli("eval", "run", "--energy", "--json").out)
    assert found["mse"] > 0 and found["energy"]["picojoules_per_sample"] > 0
    about = json.loads(cli("inspect", "run", "--json").out)
    assert set(about["equations"]) == {"z0", "z1", "z2"}
    assert "right sides of the equations" in cli("inspect", "run").err

    exported = cli("export", "run", "--format", "onnx")
    assert exported.code == 0, exported.err
    assert (tmp_path / "run/export/onnx/model.onnx").exists()  # not model.onnx.unverified
    refused = cli("export", "run", "--format", "nir")
    assert refused.code == 2 and "looks ahead" in refused.err


@pytest.mark.slow
def test_a_resumed_training_is_the_same_bit_for_bit(cli, tmp_path):
    options = [*SHORT, "--set", "train.schedule=constant"]
    assert cli("train", "lorenz", *options, "--set", "train.epochs=4", "--out", "whole").code == 0
    assert cli("train", "lorenz", *options, "--set", "train.epochs=2", "--out", "parts").code == 0
    resumed = cli("train", "--resume", "parts", "--set", "train.epochs=4")
    assert resumed.code == 0, resumed.err
    one, other = (tmp_path / run / "model.safetensors" for run in ("whole", "parts"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_lsq_leaky_neurons_train_on_images_and_are_exported(cli, tmp_path):
    options = ["model.neuron=lsq-leaky", "model.name=mlp", "model.features=[16]"]
    options += ["coding.name=direct", "data.limit=300"]
    options += ["train.epochs=12", "train.lr=0.01"]
    words = [word for key in options for word in ("--set", key)]
    trained = cli("train", "digits", *words, "--out", "run")
    assert trained.code == 0, trained.err
    found = json.loads(cli("eval", "run", "--energy", "--json").out)
    assert found["accuracy"] > 0.5  # guessing is 0.1
    layers = {layer["name"] for layer in found["energy"]["layers"]}
    assert "spikes1.membrane" in layers
    exported = cli("export", "run", "--format", "onnx")
    assert exported.code == 0, exported.err
    assert (tmp_path / "run/export/onnx/model.onnx").exists()
