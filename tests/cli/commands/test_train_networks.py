"""The same commands for every architecture: train, resume, evaluate, export."""

import json
import os
import signal

import pytest

from asnn.learning.methods.bptt import Bptt

NETWORKS = {
    "ms-resnet": ["model.width=4"],
    "sew-resnet": ["model.width=4"],
    "vgg": ["model.variant='vggsnn'", "model.width=4"],
    "spikformer": ["model.size='1-16'", "model.heads=2"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_an_architecture_from_training_to_export(cli, monkeypatch, tmp_path, name):
    keys = [f"model.name={name}", *NETWORKS[name], "coding.steps=2", "data.limit=96"]
    keys += ["train.epochs=2", "train.batch_size=32", "augment.crop=1"]
    recipe = [word for key in keys for word in ("--set", key)]
    uninterrupted = cli("train", *recipe, "--out", "uninterrupted")
    assert uninterrupted.code == 0, uninterrupted.err

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
        resumed = (tmp_path / "resumed" / file).read_bytes()
        assert resumed == (tmp_path / "uninterrupted" / file).read_bytes(), file

    evaluation = json.loads(cli("eval", "resumed", "--json").out)
    assert evaluation["samples"] == 359 and 0 < evaluation["spike_rate"] < 1
    onnx = cli("export", "resumed", "--format", "onnx", "--samples", "40", "--json")
    assert onnx.code == 0 and json.loads(onnx.out)["verified"] is True, onnx.err
    nir = cli("export", "resumed", "--format", "nir", "--samples", "40", "--json")
    if name == "spikformer":
        assert nir.code == 2 and "multiplies queries, keys and values" in nir.err
    else:
        assert nir.code == 0 and json.loads(nir.out)["verified"] is True, nir.err
