"""A package from outside the tree adds a model, a code and a data set; all commands know them."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from asnn.coding import coding_registry, create_coding
from asnn.datasets.load import dataset_registry
from asnn.models import AdaptiveLeaky, BuildContext, neuron_registry
from asnn.models.factory import model_registry
from tests.support.installed_package import BARS, findable, install

ROOT = Path(__file__).parents[2]
REGISTRIES = (model_registry, neuron_registry, coding_registry, dataset_registry)

CODE = '''
    import torch
    from asnn.coding import Coding
    from asnn.core import ConfigError


    class Alternating(Coding):
        """The image at even steps, its complement at odd ones."""

        name = "alternating"

        def __init__(self, *, steps: int, strength: float = 1.0) -> None:
            super().__init__(steps=steps)
            if not 0 < strength <= 1:
                raise ConfigError(f"strength must be above 0 and at most 1, not {strength}")
            self.strength = strength

        @property
        def analog_steps(self) -> int:
            return self.steps

        def encode(self, x):
            steps = [x if t % 2 == 0 else 1 - x for t in range(self.steps)]
            return self.strength * torch.stack(steps)
'''

ENTRY_POINTS = """\
    [asnn.models]
    shortcut-net = outsider.shortcut_net:shortcut_net

    [asnn.neurons]
    quadratic = outsider.quadratic:Quadratic
    mute = outsider.others:Mute
    liar = outsider.others:Liar

    [asnn.codings]
    alternating = outsider.parts:Alternating

    [asnn.datasets]
    bars = outsider.data:bars
"""


OTHER_NEURONS = '''
    from torch import nn

    from .quadratic import Quadratic


    class Mute(nn.Module):
        """Fires as Quadratic, and does not say how."""

        def __init__(self, steps, channels=None):
            super().__init__()
            self.neuron = Quadratic(steps)

        def forward(self, x):
            return self.neuron(x)


    class Liar(Quadratic):
        """Says a curvature that is not the one it has."""

        def forward(self, x):
            return super().forward(x)

        def lower(self, graph, name):
            def step(x, v, wait):
                return self.step(x + 0.3 * v * v, v, wait)

            graph.cell(name, step, states=["v", "wait"])
'''


def example_of_contributing(what: str = "trains and exports this network") -> str:
    """An example that CONTRIBUTING.md shows."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- a test {what} -->\n```python\n(.*?)```", text, re.S)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder like site-packages with an installed package: its modules and its metadata."""
    folder = tmp_path_factory.mktemp("site")
    modules = {"shortcut_net": example_of_contributing(), "parts": CODE, "data": BARS}
    modules["quadratic"] = example_of_contributing("trains and exports this neuron")
    modules["others"] = OTHER_NEURONS
    install(folder, "outsider", modules, ENTRY_POINTS)
    return folder


@pytest.fixture
def package(installed):
    with findable(installed, "outsider", *REGISTRIES):
        yield


CHOICE = [
    *("--set", "model.name=shortcut-net", "--set", "model.width=8"),
    *("--set", "train.lr=0.02", "--set", "augment.crop=0"),
    *("--set", "coding.name=alternating", "--set", "coding.strength=0.9"),
    *("--set", "data.name=bars", "--set", "train.epochs=15", "--set", "train.batch_size=20"),
]


@pytest.mark.slow
def test_it_trains_evaluates_and_exports(cli, package):
    trained = cli("train", *CHOICE, "--out", "run", "--json")
    assert trained.code == 0, trained.err
    assert json.loads(trained.out)["finished"]
    result = cli("eval", "run", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert (found["data"], found["coding"], found["samples"]) == ("bars", "alternating", 40)
    assert found["accuracy"] > 0.9  # a bar in noise is easily seen
    assert set(found["spike_rates"]) == {"spikes1", "spikes2", "block.main.spikes"}
    # The files cannot contain a coding of another package: their input is the encoded steps.
    for form in (["onnx", "--input", "spikes"], ["nir"]):
        exported = cli("export", "run", "--format", *form, "--json")
        assert exported.code == 0, exported.err


def test_its_options_are_checked_like_built_in_ones(cli, package):
    wrong = ["--set", "model.widht=6", "--set", "coding.strength=2"]
    refused = cli("train", *CHOICE, *wrong, "--dry-run")
    assert refused.code == 2
    assert "model.widht: unknown key; did you mean model.width?" in refused.err
    refused = cli("train", *CHOICE, "--set", "coding.strength=2", "--dry-run")
    assert "strength must be above 0 and at most 1, not 2" in refused.err


NEURON = [
    *("--set", "data.name=bars", "--set", "model.name=mlp", "--set", "model.features=[24, 16]"),
    *("--set", "coding.name=direct", "--set", "train.lr=0.02", "--set", "augment.crop=0"),
    *("--set", "train.batch_size=20", "--set", "neuron.pause=2"),
]


@pytest.fixture
def trained(cli, package):
    """A run of the neuron that CONTRIBUTING.md shows."""
    options = ["--set", "model.neuron=quadratic", "--set", "train.epochs=12"]
    done = cli("train", *NEURON, *options, "--out", "run", "--json")
    assert done.code == 0, done.err
    return "run"


@pytest.mark.slow
def test_a_neuron_says_its_equations(cli, trained):
    found = json.loads(cli("eval", trained, "--energy", "--json").out)
    assert found["accuracy"] > 0.9
    energy = found["energy"]
    squares = [layer for layer in energy["layers"] if layer["kind"] == "square"]
    assert [layer["name"] for layer in squares] == ["spikes1.square", "spikes2.square"]
    assert [layer["dense"] for layer in squares] == [[2 * 24] * 4, [2 * 16] * 4]
    for form in ("sequence", "stream", "scan"):
        exported = cli("export", trained, "--format", "onnx", "--form", form, "--json")
        assert exported.code == 0, exported.err
        report = json.loads(exported.out)
        assert report["verified"] and report["layers_without_variety"] == []
        assert min(report["spikes_per_sample"].values()) > 1
        assert report["runtimes"][1]["runtime"] == "onnxruntime"
        driven = report["driven"]["neurons"]["spikes1"]
        assert driven["fired"] == driven["silent"] == 1.0
    refused = cli("export", trained, "--format", "nir")
    assert refused.code == 2
    assert "'spikes1' has a neuron with equations of its own, which NIR cannot" in refused.err


@pytest.mark.slow
def test_a_neuron_that_says_another_equation_is_found(cli, package):
    options = ["--set", "model.neuron=liar", "--set", "train.epochs=1"]
    assert cli("train", *NEURON, *options, "--out", "liar").code == 0
    found = cli("export", "liar", "--format", "onnx")
    assert found.code == 3
    assert "Liar computes something else than it says" in found.err
    assert "layer spikes1, step " in found.err


@pytest.mark.slow
def test_a_neuron_without_equations_is_refused_with_the_method_to_add(cli, package):
    options = [*NEURON[:-2], "--set", "model.neuron=mute", "--set", "train.epochs=1"]
    assert cli("train", *options, "--out", "mute").code == 0
    refused = cli("export", "mute", "--format", "onnx")
    assert refused.code == 2
    assert "layer 'spikes1.neuron' (Mute) cannot be exported" in refused.err
    assert "it does not say what it computes" in refused.err
    assert "a method lower(graph, name)" in refused.err
    assert "see 'A neuron' in CONTRIBUTING.md" in refused.err


@pytest.mark.slow
def test_a_module_with_neurons_of_asnn_is_exported(cli):
    Path("nets.py").write_text(example_of_contributing("exports this module"))
    for form in (["onnx"], ["onnx", "--form", "stream"], ["nir"]):
        exported = cli("export", "--from", "nets.py:make", "--format", *form, "--json")
        assert exported.code == 0, exported.err
        report = json.loads(exported.out)
        assert report["verified"] and report["layers_without_variety"] == []


@pytest.mark.slow
def test_a_new_process_finds_the_package(installed, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "asnn.cli", "train", *CHOICE, "--dry-run"], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)}, capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b'name = "alternating"' in done.stdout


def test_without_the_package_the_names_are_unknown(cli):
    refused = cli("train", *CHOICE, "--dry-run")
    assert refused.code == 2
    for text in ("unknown model 'shortcut-net'", "unknown coding 'alternating'", "'bars'"):
        assert text in refused.err


def test_the_example_of_0_1_0_builds_the_same_network(tmp_path):
    """Its import paths and names, all changed since, are those of packages written for 0.1.0."""
    (tmp_path / "example.py").write_text(example_of_contributing())
    context = BuildContext(
        in_shape=(1, 6, 6),
        classes=2,
        coding=create_coding("hybrid", steps=3),
        make_neuron=lambda channels: AdaptiveLeaky(3, channels),
        scaled=True,
        mean=[0.0],
        std=[1.0],
    )
    old, new = (
        runpy.run_path(str(path))["shortcut_net"](context, width=4).eval()
        for path in (Path(__file__).with_name("plugin_of_0_1_0.py"), tmp_path / "example.py")
    )
    old.load_state_dict(new.state_dict())
    x = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = old(x)
        assert logits.shape == (3, 5, 2)
        assert torch.equal(logits, new(x))
