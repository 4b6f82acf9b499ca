"""Every architecture goes through the same commands: train, resume, evaluate, export."""

import json
import os
import signal

import pytest

from asnn.learning import loop

pytestmark = pytest.mark.slow

NETWORKS = {
    "ms-resnet": ["model.width=4"],
    "sew-resnet": ["model.width=4"],
    "vgg": ["model.variant='vggsnn'", "model.width=4"],
    "spikformer": ["model.size='1-16'", "model.heads=2"],
}


@pytest.mark.parametrize("name", NETWORKS)
def test_an_architecture_from_training_to_export(cli, monkeypatch, tmp_path, name):
    keys = [f"model.name={name}", *NETWORKS[name], "coding.steps=2", "data.limit=96"]
    keys += ["train.epochs=2", "train.batch_size=32", "augment.crop=1"]
    recipe = [word for key in keys for word in ("--set", key)]
    whole = cli("train", *recipe, "--out", "whole")
    assert whole.code == 0, whole.err

    made, original = [], loop.loss_of

    def interrupted(*arguments):
        made.append(None)
        if len(made) == 4:  # in the second of two epochs of three batches
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "loss_of", interrupted)
        assert cli("train", *recipe, "--out", "parts").code == 143
    assert cli("train", "--resume", "parts").code == 0
    for file in ("model.safetensors", "metrics.jsonl"):
        parts = (tmp_path / "parts" / file).read_bytes()
        assert parts == (tmp_path / "whole" / file).read_bytes(), file

    told = json.loads(cli("eval", "parts", "--json").out)
    assert told["samples"] == 359 and 0 < told["spike_rate"] < 1
    onnx = cli("export", "parts", "--format", "onnx", "--samples", "40", "--json")
    assert onnx.code == 0 and json.loads(onnx.out)["verified"] is True, onnx.err
    nir = cli("export", "parts", "--format", "nir", "--samples", "40", "--json")
    if name == "spikformer":
        assert nir.code == 2 and "multiplies queries, keys and values" in nir.err
    else:
        assert nir.code == 0 and json.loads(nir.out)["verified"] is True, nir.err
