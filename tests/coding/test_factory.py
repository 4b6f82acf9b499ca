"""The registry of codes: built-in names, unknown names, and codes of other packages."""

import pytest
import torch

from asnn.coding import coding_registry, create_coding
from asnn.core import ConfigError, Registry

NAMES = list(coding_registry.builtin)
PUBLISHED = {  # in files of users
    "direct",
    "temporal",
    "hybrid",
    "embedding",
    "hybrid-embedding",
    "rate",
    "latency",
    "delta",
    "phase",
    "burst",
    "frames",
    "voxel",
    "time-surface",
    "given",
}

PLUGIN_CODE = """
from asnn.coding import Coding


class Inverted(Coding):
    name = "inverted"

    def encode(self, x):
        return (1 - x).expand(self.steps, *x.shape)
"""

ENTRY_POINTS = """
[asnn.codings]
inverted = plugin_codes:Inverted
direct = plugin_codes:Nothing
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A package with two codes, installed as pip does it."""
    (tmp_path / "plugin_codes.py").write_text(PLUGIN_CODE)
    folder = tmp_path / "plugin_codes-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-codes\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    # The registry caches entry points.
    coding_registry.__dict__.pop("_external", None)
    yield
    coding_registry.__dict__.pop("_external", None)


def test_the_built_in_names():
    assert set(NAMES) >= PUBLISHED
    for name in NAMES:
        assert coding_registry.get(name).name == name


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("hybird", "hybrid"), ("Temporal", "temporal"), ("hybrid_embedding", "hybrid-embedding")],
)
def test_an_unknown_name_lists_all_and_the_closest(name, nearest):
    with pytest.raises(ConfigError) as caught:
        create_coding(name, steps=4)
    assert caught.value.what == f"unknown coding {name!r}"
    assert caught.value.why == f"choose from {', '.join(coding_registry.names())}"
    assert all(each in caught.value.why for each in NAMES)
    assert caught.value.remedy == f"did you mean {nearest!r}?"


def test_a_name_without_a_close_match_gets_no_suggestion():
    with pytest.raises(ConfigError) as caught:
        create_coding("xyzzy", steps=4)
    assert caught.value.remedy == ""


def test_a_code_of_another_package_is_found_by_its_entry_point(plugin):
    assert coding_registry.names() == [*NAMES, "inverted"]
    code = create_coding("inverted", steps=2).encode(torch.tensor([0.25]))
    assert code.tolist() == [[0.75], [0.75]]
    with pytest.raises(ConfigError) as caught:
        create_coding("invert", steps=2)
    assert caught.value.remedy == "did you mean 'inverted'?"


def test_without_the_package_its_code_is_unknown():
    with pytest.raises(ConfigError, match="unknown coding 'inverted'"):
        create_coding("inverted", steps=2)


def test_entry_points_of_other_groups_are_not_codes(plugin):
    assert "inverted" not in Registry("neurons", {}).names()


def test_a_built_in_code_cannot_be_replaced(plugin):
    assert coding_registry.names().count("direct") == 1
    assert create_coding("direct", steps=2).static
