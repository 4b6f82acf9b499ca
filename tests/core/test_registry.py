"""Registries: known names, the closest name, and components of other packages."""

from importlib.metadata import EntryPoint

import pytest

from asnn.core import ConfigError, Registry, nearest
from asnn.core.registry import check_options
from asnn.datasets import dataset_registry
from asnn.models import model_registry, neuron_registry


def test_nearest():
    assert nearest("hybird", ["direct", "hybrid"]) == "hybrid"
    assert nearest("HYBRID", ["direct", "hybrid"]) == "hybrid"
    assert nearest("zzz", ["direct", "hybrid"]) is None


def test_an_unknown_name_lists_all_and_is_never_corrected():
    registry = Registry("things", {"one": "core.registry:nearest", "two": "core.registry:unknown"})
    assert registry.get("one") is nearest
    with pytest.raises(ConfigError) as caught:
        registry.get("oen")
    assert caught.value.what == "unknown thing 'oen'"
    assert caught.value.why == "choose from one, two"
    assert caught.value.remedy == "did you mean 'one'?"


def test_a_component_without_options_says_so():
    with pytest.raises(ConfigError, match="unknown option of thing one 'dir'") as caught:
        check_options("thing", "one", lambda: None, ["dir"])
    assert caught.value.why == "it has none"


@pytest.mark.parametrize("registry", [dataset_registry, model_registry, neuron_registry])
def test_every_built_in_name_can_be_imported(registry):
    for name in registry.names():
        assert callable(registry.get(name))


def test_another_package_adds_a_component(monkeypatch):
    groups = []

    def points(group):
        groups.append(group)
        return [EntryPoint("theirs", "math:sqrt", group)]

    monkeypatch.setattr("importlib.metadata.entry_points", points)
    registry = Registry("things", {"one": "core.registry:nearest"})
    assert registry.names() == ["one", "theirs"]
    assert registry.get("theirs")(9) == 3
    assert groups == ["asnn.things"]
