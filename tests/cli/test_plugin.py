"""A package from outside the tree adds a model, a code and a data set; all commands know them."""

import json
import os
import re
import runpy
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from asnn.coding import create_coding
from asnn.models import AdaptiveLeaky, BuildContext

ROOT = Path(__file__).parents[2]

CODE_AND_DATA = '''
    import torch
    from asnn.coding import Coding
    from asnn.core import ConfigError
    from asnn.datasets.base import Source, Split


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


    def bars(*, samples: int = 120) -> Source:
        """Vertical and horizontal bars in noise."""
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(samples, 1, 6, 6, generator=generator) * 0.3
        labels = torch.arange(samples) % 2
        images[labels == 0, :, 2] = 1
        images[labels == 1, :, :, 2] = 1
        part = samples // 3
        return Source(
            Split(images[part:], labels[part:]),
            Split(images[:part], labels[:part]),
            classes=["horizontal", "vertical"],
        )
'''

ENTRY_POINTS = """\
    [asnn.models]
    shortcut-net = outsider.shortcut_net:shortcut_net

    [asnn.codings]
    alternating = outsider.parts:Alternating

    [asnn.datasets]
    bars = outsider.parts:bars
"""


def example_of_contributing() -> str:
    """The network that CONTRIBUTING.md shows."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = re.search(
        r"<!-- a test trains and exports this network -->\n```python\n(.*?)```", text, re.S
    )
    assert found
    return found[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder like site-packages with an installed package: its modules and its metadata."""
    folder = tmp_path_factory.mktemp("site")
    package, metadata = folder / "outsider", folder / "outsider-1.0.dist-info"
    for path in (package, metadata):
        path.mkdir()
    (package / "__init__.py").write_text("")
    (package / "shortcut_net.py").write_text(example_of_contributing())
    (package / "parts.py").write_text(textwrap.dedent(CODE_AND_DATA))
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(textwrap.dedent(ENTRY_POINTS))
    return folder


def asnn(folder, site, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(site)} if site else dict(os.environ)
    return subprocess.run(
        [sys.executable, "-m", "asnn.cli", *map(str, arguments)],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


CHOICE = [
    *("--set", "model.name=shortcut-net", "--set", "model.width=8"),
    *("--set", "train.lr=0.02", "--set", "augment.crop=0"),
    *("--set", "coding.name=alternating", "--set", "coding.strength=0.9"),
    *("--set", "data.name=bars", "--set", "train.epochs=15", "--set", "train.batch_size=20"),
]


@pytest.mark.slow
def test_it_trains_evaluates_and_exports(installed, tmp_path):
    trained = asnn(tmp_path, installed, "train", *CHOICE, "--out", "run", "--json")
    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)["finished"]
    result = asnn(tmp_path, installed, "eval", "run", "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["data"], found["coding"], found["samples"]) == ("bars", "alternating", 40)
    assert found["accuracy"] > 0.9  # a bar in noise is easily seen
    assert set(found["spike_rates"]) == {"spikes1", "spikes2", "block.main.spikes"}
    # The files cannot contain a coding of another package: their input is the encoded steps.
    for form in (["onnx", "--input", "spikes"], ["nir"]):
        exported = asnn(tmp_path, installed, "export", "run", "--format", *form, "--json")
        assert exported.returncode == 0, exported.stderr


@pytest.mark.slow
def test_its_options_are_checked_like_built_in_ones(installed, tmp_path):
    wrong = ["--set", "model.widht=6", "--set", "coding.strength=2"]
    refused = asnn(tmp_path, installed, "train", *CHOICE, *wrong, "--dry-run")
    assert refused.returncode == 2
    assert "model.widht: unknown key; did you mean model.width?" in refused.stderr
    refused = asnn(tmp_path, installed, "train", *CHOICE, "--set", "coding.strength=2", "--dry-run")
    assert "strength must be above 0 and at most 1, not 2" in refused.stderr


@pytest.mark.slow
def test_without_the_package_the_names_are_unknown(installed, tmp_path):
    refused = asnn(tmp_path, None, "train", *CHOICE, "--dry-run")
    assert refused.returncode == 2
    for text in ("unknown model 'shortcut-net'", "unknown coding 'alternating'", "'bars'"):
        assert text in refused.stderr


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
