"""Codes by name: the built-in ones, unknown ones, and those of other packages."""

import pytest
import torch

from asnn.coding import coding_registry, create_coding
from asnn.core import ConfigError, Registry

NAMES = [
    "direct",
    "temporal",
    "hybrid",
    "embedding",
    "hybrid-embedding",
    "rate",
    "latency",
    "delta",
]

FOREIGN_CODE = """
from asnn.coding import Coding


class Inverted(Coding):
    name = "inverted"

    def encode(self, x):
        return (1 - x).expand(self.steps, *x.shape)
"""

ENTRY_POINTS = """
[asnn.codings]
inverted = foreign_codes:Inverted
direct = foreign_codes:Nothing
"""


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """An installed package of someone else's, as pip would lay it down."""
    (tmp_path / "foreign_codes.py").write_text(FOREIGN_CODE)
    folder = tmp_path / "foreign_codes-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign-codes\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    # The registry reads entry points once; neither this test nor the next may see old ones.
    coding_registry.__dict__.pop("_external", None)
    yield
    coding_registry.__dict__.pop("_external", None)


def test_names_are_the_documented_ones():
    assert list(coding_registry.builtin) == NAMES
    for name in NAMES:
        assert coding_registry.get(name).name == name


@pytest.mark.parametrize(
    ("typed", "near"),
    [("hybird", "hybrid"), ("Temporal", "temporal"), ("hybrid_embedding", "hybrid-embedding")],
)
def test_unknown_name_lists_all_and_the_nearest(typed, near):
    with pytest.raises(ConfigError) as caught:
        create_coding(typed, steps=4)
    assert caught.value.what == f"unknown coding {typed!r}"
    assert caught.value.why == f"choose from {', '.join(coding_registry.names())}"
    assert all(name in caught.value.why for name in NAMES)
    assert caught.value.remedy == f"did you mean {near!r}?"


def test_a_name_like_none_gets_no_suggestion():
    with pytest.raises(ConfigError) as caught:
        create_coding("xyzzy", steps=4)
    assert caught.value.remedy == ""


def test_another_packages_code_is_found_by_its_entry_point(foreign):
    assert coding_registry.names() == [*NAMES, "inverted"]
    code = create_coding("inverted", steps=2).encode(torch.tensor([0.25]))
    assert code.tolist() == [[0.75], [0.75]]
    with pytest.raises(ConfigError) as caught:
        create_coding("invert", steps=2)
    assert caught.value.remedy == "did you mean 'inverted'?"


def test_without_that_package_its_code_is_unknown():
    with pytest.raises(ConfigError, match="unknown coding 'inverted'"):
        create_coding("inverted", steps=2)


def test_entry_points_of_other_groups_are_not_codes(foreign):
    assert "inverted" not in Registry("neurons", {}).names()


def test_a_built_in_code_cannot_be_replaced(foreign):
    assert coding_registry.names().count("direct") == 1
    assert create_coding("direct", steps=2).static
