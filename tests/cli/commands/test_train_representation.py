"""Networks that learn by the gradient of the spike representation: trained, stopped and resumed,
evaluated, inspected, exported."""

import json
import math
import shutil

import pytest
from safetensors.torch import load_file

from asnn.cli.recipe_files import FOLDER
from asnn.learning import check_recipe, read_document, train
from asnn.records.layout import Run
from tests.support.trainings import KeepTraining, StopAfter

LEAK = math.exp(-0.1)  # dt = 0.1, tau = 1
NEURONS = {
    "if": {"amplitude": 2.0, "fraction": 0.5},
    "lif": {"amplitude": 2.0, "fraction": 0.5, "leak": LEAK, "gain": (1 - LEAK) / 0.1},
}
AMPLITUDE = "body.spikes1.neuron.raw_amplitude"


def recipe_of(neuron, **options):
    return check_recipe({
        "name": "dsr", "data": {"limit": 300}, "coding": {"name": "direct", "steps": 5},
        "model": {"name": "mlp", "features": [24, 16], "neuron": "integrate"},
        "neuron": {"gradient": "representation", "learn_amplitude": True, **NEURONS[neuron]},
        "train": {"epochs": 3, "batch_size": 50, "lr": 0.01, "device": "cpu", **options},
    })  # fmt: skip


@pytest.fixture(scope="module", params=NEURONS)
def trained(request, tmp_path_factory):
    """The name of the neuron, and a run."""
    path = tmp_path_factory.mktemp(request.param)
    train(recipe_of(request.param), Run(path), KeepTraining())
    return request.param, path


def test_it_learns_weights_and_amplitudes(trained):
    name, path = trained
    lines = (path / "metrics.jsonl").read_text().splitlines()
    accuracies = [json.loads(line)["validation_accuracy"] for line in lines]
    assert accuracies[-1] > 0.5 and accuracies[-1] > accuracies[0]
    amplitude = float(load_file(path / "model.safetensors")[AMPLITUDE])
    assert amplitude != NEURONS[name]["amplitude"]


@pytest.mark.slow
@pytest.mark.parametrize("call", [1, 7, 12, 20])
def test_a_training_stopped_anywhere_ends_with_the_same_bytes(trained, tmp_path, call):
    name, whole = trained
    run, recipe = Run(tmp_path), recipe_of(name, checkpoint_steps=1)
    assert train(recipe, run, KeepTraining(), stop=StopAfter(call)) is None
    train(recipe, run, KeepTraining(), resume=True)
    for file in ("model.safetensors", "metrics.jsonl"):
        assert (tmp_path / file).read_bytes() == (whole / file).read_bytes()


@pytest.mark.slow
def test_energy_counts_single_spikes(cli, trained):
    found = cli("eval", trained[1], "--energy", "--json")
    assert found.code == 0, found.err
    document = json.loads(found.out)
    rates = [rate for rates in document["spike_rates"].values() for rate in rates]
    assert len(rates) == 2 * 5 and 0 < max(rates) < 1
    energy = document["energy"]
    assert energy["uncounted"] == [] and energy["picojoules_per_sample"] > 0
    stem, *behind = energy["layers"]
    assert (stem["given"], stem["operation"]) == ("values", "mac")
    assert {(layer["given"], layer["operation"]) for layer in behind} == {("spikes", "ac")}
    # Every spike of spikes1 is one event of the layer behind it, whatever V is.
    expected = [24 * rate for rate in document["spike_rates"]["spikes1"]]
    assert behind[0]["events"] == pytest.approx(expected)


def test_inspect_describes_the_run(cli, trained):
    found = cli("inspect", trained[1], "--json")
    assert found.code == 0, found.err
    document = json.loads(found.out)
    assert document["model"]["neuron"] == "integrate"
    assert document["neuron"]["gradient"] == "representation"
    assert document["neuron"]["threshold_gradient"] == "scaled"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sequence", "stream", "scan"])
def test_onnx_is_verified_without_a_flip(cli, trained, tmp_path, form):
    shutil.copytree(trained[1], tmp_path / "run")
    found = cli("export", "run", "--format", "onnx", "--form", form, "--json")
    assert found.code == 0, found.err
    document = json.loads(found.out)
    assert document["verified"] is True, document


@pytest.mark.slow
def test_nir_is_verified(cli, trained, tmp_path):
    shutil.copytree(trained[1], tmp_path / "run")
    found = cli("export", "run", "--format", "nir", "--json")
    assert found.code == 0, found.err


def test_bursts_are_refused_with_the_reason(cli):
    found = cli("train", "digits", "--dry-run", "--set", "model.neuron=integrate",
                "--set", "neuron.gradient=representation", "--set", "neuron.most=2")  # fmt: skip
    assert found.code == 2 and found.out == ""
    for part in ("not for most = 2", "at most one spike in a step", "neuron.most=1"):
        assert part in found.err


def test_the_recipe():
    """The published IF neuron, with V = 2."""
    recipe = check_recipe(read_document(FOLDER / "dsr.toml"))
    neuron = recipe.neuron.options()
    assert (neuron["gradient"], neuron["fraction"], neuron["amplitude"]) == (
        "representation", 0.5, 2.0
    )  # fmt: skip
    assert neuron["learn_amplitude"] and neuron["threshold_gradient"] == "scaled"
    assert (neuron["leak"], neuron["gain"], neuron["most"]) == (1.0, 1.0, 1)
    assert (recipe.coding.name, recipe.coding.steps) == ("direct", 5)
