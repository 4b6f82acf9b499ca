"""A package from outside the tree adds a layer, a network, a synapse, a readout and a method.

Together with its task, its code and its data of events it trains in two stages, is stopped in each
stage and between them, resumed to the same bytes, evaluated, counted and exported.
"""

import json
from pathlib import Path

import pytest

import asnn
from tests.support.eventful_package import findable_eventful, install_eventful

CHANGES = {
    "data.name": "blinks",
    "data.recordings": 80,
    "coding.name": "halves",
    "coding.steps": 4,
    "task.name": "share",
    "readout.name": "latest",
    "readout.factor": 1.5,
    "synapse.name": "alike",
    "synapse.pole": 0.4,
    "model.name": "mixer",
    "model.features": 10,
    "neuron.gain": 2.0,
    "method.name": "halves",
    "method.first": 2,
    "train.epochs": 4,
    "train.batch_size": 32,
    "train.lr": 0.02,
    "train.weight_decay": 0.01,
}
CALLS = 14  # of `stop`: in each of four epochs two batches, a validation and its end


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    install_eventful(folder)
    with findable_eventful(folder):
        yield folder


@pytest.fixture(scope="module")
def whole(package, tmp_path_factory):
    return asnn.train(out=tmp_path_factory.mktemp("whole") / "run", changes=CHANGES)


def lines(run):
    return [json.loads(line) for line in run.files.metrics.read_text().splitlines()]


def test_it_trains_in_two_stages(whole):
    found = lines(whole)
    assert [line["stage"] for line in found] == ["all", "all", "readout", "readout"]
    errors = [line["validation_error"] for line in found]
    assert min(errors[2:]) < errors[0]


@pytest.mark.slow
@pytest.mark.parametrize("calls", range(1, CALLS + 1))
def test_stopped_anywhere_it_ends_with_the_same_bytes(whole, tmp_path, calls):
    asked = iter([False] * (calls - 1) + [True] * 1000)
    run = asnn.train(out=tmp_path / "part", changes=CHANGES, stop=lambda: next(asked))
    assert not run.files.finished
    resumed = asnn.train(resume=run.path)
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes()


@pytest.mark.slow
def test_it_is_evaluated_and_counted(whole, cli):
    found = cli("eval", str(whole.path), "--energy", "--json")
    assert found.code == 0, found.err
    found = json.loads(found.out)
    assert 0 < found["error"] < 0.3
    energy = found["energy"]
    layers = {layer["name"]: layer for layer in energy["layers"]}
    assert energy["reason"] is None and energy["picojoules_per_sample"] > 0
    assert layers["mixed"]["kind"] == "mixed" and layers["mixed"]["weights"] == 100
    # Behind a filter come values, 10 of them at each of 4 steps, for 10 outputs.
    assert layers["mixed"]["operation"] == "mac"
    assert sum(layers["mixed"]["dense"]) == 4 * 100
    assert sum(layers["synapse"]["effective"]) == 4 * 10 * 2


@pytest.mark.slow
@pytest.mark.parametrize("form", [["onnx"], ["onnx", "--form", "stream"], ["nir"]])
def test_it_is_exported_and_verified(whole, cli, tmp_path, form):
    done = cli("export", str(whole.path), "--format", *form, "-o", str(tmp_path / "out"), "--json")
    assert done.code == 0, done.err
    report = json.loads(Path(json.loads(done.out)["parity"]).read_text())
    assert report["verified"] and len(report["runtimes"]) >= 2
    # A real answer is neither right nor wrong.
    assert report["accuracy"] == {}


@pytest.mark.slow
def test_its_weights_are_corrupted_and_pruned_with_all_others(whole, cli):
    found = cli("eval", str(whole.path), "--corrupt", "quantize=2", "--json")
    assert found.code == 0, found.err
    clean, coarse = (row["error"] for row in json.loads(found.out)["corruption"])
    assert clean != coarse
