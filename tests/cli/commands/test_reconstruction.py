"""Digits through a bottleneck, on the command line: trained, evaluated, rebuilt, exported."""

import json

import numpy as np
import pytest

KEYS = [
    "data.limit=80", "coding.name=direct", "model.name=mlp", "model.features=[8]",
    "readout.name=bottleneck", "readout.neurons=6", "task.name=reconstruction",
    "method.name=vdib", "train.epochs=1",
]  # fmt: skip


@pytest.mark.slow
def test_from_training_to_a_file(cli, tmp_path):
    run = str(tmp_path / "run")
    changes = [part for key in KEYS for part in ("--set", key)]
    assert cli("train", *changes, "--out", run).code == 0
    found = json.loads(cli("eval", run, "--json").out)
    assert found["metric"] == {"name": "mse", "greater_is_better": False, "percent": False}
    assert found["psnr"] == pytest.approx(-10 * np.log10(found["mse"]))
    assert [*found["divergence"]] == ["readout.spikes"] and "confusion" not in found
    shown = cli("eval", run)
    assert f"tells at most {found['divergence']['readout.spikes']:.1f} nats" in shown.err

    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((2, 1, 8, 8), np.float32))
    lines = cli("predict", run, str(tmp_path / "x.npy"), "--json").out.splitlines()
    values = [json.loads(line)["values"] for line in lines]
    assert [len(each) for each in values] == [64, 64]
    assert all(0 < value < 1 for each in values for value in each)

    refused = cli("export", run, "--format", "onnx")
    assert refused.code == 2 and "--noise input" in refused.err
    exported = cli("export", run, "--format", "onnx", "--noise", "input")
    assert exported.code == 0 and "accuracy" not in exported.err  # of classes there is none
