"""Frozen layers: which, what stays, what learns, and what is refused."""

import json

import numpy as np
import pytest
import torch

import asnn
from asnn.core import ConfigError
from asnn.learning import check_recipe
from asnn.learning.start.freeze import find_frozen
from asnn.learning.training import prepare
from asnn.models import create_model
from asnn.records.layout import Run

SMALL = {
    "data.limit": 60,
    "model.widths": [3, 4],
    "model.hidden": 8,
    "neuron.gain": 3.0,
    "train.epochs": 2,
    "train.batch_size": 20,
    "train.lr": 0.02,
    "train.checkpoint_steps": 1,
}


def lenet():
    return create_model(
        "lenet", in_shape=(1, 8, 8), classes=10, coding="hybrid", steps=3, widths=[3, 4], hidden=8
    )


@pytest.mark.parametrize(
    ("patterns", "layers", "norms"),
    [
        (["conv1"], ["conv1"], 0),
        (["conv1.analog.weight"], ["conv1"], 0),
        (["spikes*"], ["spikes1", "spikes2", "spikes3"], 4),
        (["spikes2.norm.norm.*"], ["spikes2"], 1),  # both of its parameters
        (["spikes2.norm.norm.bias"], ["spikes2"], 0),
        (["conv?", "linear", "spikes1"], ["conv1", "spikes1", "conv2", "linear"], 2),
        ([], [], 0),
    ],
)
def test_patterns_name_layers_and_parameters(patterns, layers, norms):
    found = find_frozen(lenet(), patterns)
    assert found.layers == layers and len(found.norms) == norms


@pytest.mark.parametrize(
    ("patterns", "message", "remedy"),
    [
        (["conv9"], "names no layer or parameter: conv9: the layers are conv1, spikes1, ", "conv"),
        (["conv1", "Readout"], "names no layer or parameter: Readout", "did you mean readout?"),
        (["*"], "train.freeze freezes all 21 parameters: * leaves nothing to learn", "readout"),
    ],
)
def test_unknown_names_and_nothing_to_learn_are_refused(patterns, message, remedy):
    with pytest.raises(ConfigError) as refused:
        find_frozen(lenet(), patterns)
    assert message in str(refused.value) and remedy in refused.value.remedy


def test_names_are_checked_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match="names no layer or parameter: conv9"):
        asnn.train("digits", out=tmp_path / "run", changes={**SMALL, "train.freeze": ["conv9"]})
    assert not (tmp_path / "run").exists()


def test_the_optimizer_has_no_frozen_parameter(tmp_path):
    document = {"train": {"freeze": "conv*, spikes1", "weight_decay": 0.1, "device": "cpu"}}
    training = prepare(check_recipe(document), Run(tmp_path))
    held = {id(p) for group in training.optimizer.param_groups for p in group["params"]}
    frozen = training.frozen.parameters
    assert frozen and not held & {id(p) for p in frozen.values()}
    everything = sum(p.numel() for p in training.model.parameters())
    assert training.parameters + training.frozen_parameters == everything
    assert sum(p.numel() for g in training.optimizer.param_groups for p in g["params"]) == (
        training.parameters
    )


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["auto", "reference"])
def test_frozen_layers_keep_weights_and_statistics_and_the_rest_learns(tmp_path, kernels):
    changes = {**SMALL, "train.kernels": kernels, "train.freeze": ["conv1", "spikes1"]}
    source = asnn.train("digits", out=tmp_path / "source", changes=SMALL)
    changes["train.init"] = str(source.path)
    run = asnn.train("digits", out=tmp_path / "run", changes={**changes, "train.seed": 1})
    before, after = source.load_model().state_dict(), run.load_model().state_dict()
    frozen = [key for key in before if key.startswith(("body.conv1.", "body.spikes1."))]
    assert any("running_mean" in key for key in frozen)
    assert all(torch.equal(before[key], after[key]) for key in frozen)
    learned = ("body.conv2.layer.weight", "body.spikes2.norm.norm.running_mean")
    assert not any(torch.equal(before[key], after[key]) for key in learned)
    summary = json.loads(run.files.summary.read_text())
    assert summary["frozen_parameters"] == sum(
        p.numel() for name, p in run.model.named_parameters() if name in frozen
    )
    calls = iter(range(1000))
    part = asnn.train(
        "digits", out=tmp_path / "part", changes={**changes, "train.seed": 1},
        stop=lambda: next(calls) >= 4,
    )  # fmt: skip
    assert not part.files.finished
    again = asnn.train(resume=part.path)
    assert again.files.model.read_bytes() == run.files.model.read_bytes()


@pytest.mark.slow
def test_a_start_of_other_classes_gets_a_new_readout(tmp_path):
    source = asnn.train("digits", out=tmp_path / "source", changes=SMALL)
    random = np.random.default_rng(0)
    x, y = random.random((60, 1, 8, 8)).astype(np.float32), np.arange(60) % 3
    np.savez(tmp_path / "three.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    changes = {
        **{key: value for key, value in SMALL.items() if key != "data.limit"},
        "data.name": "npz",
        "data.path": str(tmp_path / "three.npz"),
        "train.init": str(source.path),
        "train.freeze": ["conv*", "spikes*", "linear"],
    }
    run = asnn.train("digits", out=tmp_path / "run", changes=changes)
    start = json.loads(run.files.environment.read_text())["start"]
    assert start["new_readout"] and start["classes"] == "10 there, 3 here"
    before, after = source.load_model().state_dict(), run.load_model().state_dict()
    readout = {key for key in after if key.startswith("body.readout.")}
    assert set(start["kept"]) == readout
    assert all(torch.equal(before[key], after[key]) for key in after if key not in readout)
    assert after["body.readout.linear.weight"].shape[0] == 3
    with pytest.raises(ConfigError, match="has another number of outputs, and 0 epochs train no"):
        asnn.train("digits", out=tmp_path / "none", changes={**changes, "train.epochs": 0})
