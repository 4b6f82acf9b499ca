"""A package from outside the tree adds a model, a code and a data set; all commands know them."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CODE_AND_DATA = '''
    import torch
    from asnn.coding import Coding
    from asnn.core import ConfigError
    from asnn.datasets.base import Source, Split


    class Alternating(Coding):
        """The image at even steps, what it lacks to 1 at odd ones."""

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
        """Bars that stand or lie, in noise."""
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(samples, 1, 6, 6, generator=generator) * 0.3
        labels = torch.arange(samples) % 2
        images[labels == 0, :, 2] = 1
        images[labels == 1, :, :, 2] = 1
        part = samples // 3
        return Source(
            Split(images[part:], labels[part:]),
            Split(images[:part], labels[:part]),
            classes=["lying", "standing"],
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
    """A folder as an installer leaves it behind: a package and what is known of it."""
    folder = tmp_path_factory.mktemp("site")
    package, known = folder / "outsider", folder / "outsider-1.0.dist-info"
    for path in (package, known):
        path.mkdir()
    (package / "__init__.py").write_text("")
    (package / "shortcut_net.py").write_text(example_of_contributing())
    (package / "parts.py").write_text(textwrap.dedent(CODE_AND_DATA))
    (known / "METADATA").write_text("Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n")
    (known / "entry_points.txt").write_text(textwrap.dedent(ENTRY_POINTS))
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
    # What a code of theirs computes, no file can hold: the network is given its steps.
    for form in (["onnx", "--input", "spikes"], ["nir"]):
        exported = asnn(tmp_path, installed, "export", "run", "--format", *form, "--json")
        assert exported.returncode == 0, exported.stderr


@pytest.mark.slow
def test_its_options_are_checked_like_ours(installed, tmp_path):
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
