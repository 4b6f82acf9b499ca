"""Recipes: defaults, options of components, changes, and faults."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.coding import Coding
from asnn.core import ConfigError
from asnn.learning import check_recipe, override, parse_override


def changed(*texts, document=None):
    return override(document or {}, [parse_override(text) for text in texts])


def test_an_empty_recipe_is_the_default():
    recipe = check_recipe({})
    assert recipe.data.name == "digits"
    assert recipe.coding.options() == {"thresholds": "linear", "variant": "fixed"}
    assert recipe.model.options()["hidden"] == 256
    assert "steps" not in recipe.coding.options()


def test_options_are_those_of_the_component():
    recipe = check_recipe({"coding": {"name": "latency", "steps": 8, "tau": 2}})
    assert recipe.coding.options() == {
        "tau": 2.0, "threshold": 0.01, "linear": False, "normalize": True, "clip": False,
    }  # fmt: skip


def test_options_of_a_component_of_another_package(monkeypatch):
    from asnn.coding import coding_registry

    class Theirs(Coding):
        name = "theirs"

        def __init__(self, *, steps: int, strength: float = 0.5):
            super().__init__(steps=steps)
            if strength > 1:
                raise ConfigError(f"strength must be at most 1, not {strength}")

    monkeypatch.setitem(coding_registry.__dict__, "_external", {
        "theirs": type("Point", (), {"load": staticmethod(lambda: Theirs)}),
    })  # fmt: skip
    assert check_recipe({"coding": {"name": "theirs"}}).coding.options() == {"strength": 0.5}
    for table, says in (({"strength": "much"}, "coding.strength: "),
                        ({"strength": 2}, "coding: strength must be at most 1, not 2"),
                        ({"strnegth": 1}, "did you mean coding.strength?")):  # fmt: skip
        with pytest.raises(ConfigError) as caught:
            check_recipe({"coding": {"name": "theirs", **table}})
        assert says in caught.value.why


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=3", 3), ("a.b=1e-3", 1e-3), ("a.b=true", True), ("a.b=[1, 2]", [1, 2]),
        ("a.b='x y'", "x y"), ("a.b=hybrid", "hybrid"), ("a.b=a=b", "a=b"), ("a.b=", ""),
        ("a.b=/data/it's", "/data/it's"),
    ],
)  # fmt: skip
def test_values_of_overrides(text, value):
    assert parse_override(text) == (["a", "b"], value)


@pytest.mark.parametrize("text", ["a", "a.b", "a=3", "=3", ".b=3", "a.=3"])
def test_overrides_of_another_form_are_refused(text):
    with pytest.raises(ConfigError, match="not of the form section.key=value"):
        parse_override(text)


def test_override_does_not_change_its_document():
    before = {"train": {"epochs": 3}}
    after, notices = changed("train.epochs=5", document=before)
    assert (before["train"]["epochs"], after["train"]["epochs"], notices) == (3, 5, [])


def test_another_component_drops_options_of_the_former_with_a_notice():
    document = {"coding": {"name": "hybrid", "thresholds": "quantile"},
                "neuron": {"granularity": "channel", "reset": "zero"}}  # fmt: skip
    after, notices = changed("coding.name=direct", "model.neuron=fixed", document=document)
    assert after["coding"] == {"name": "direct"}
    assert after["neuron"] == {"reset": "zero"}
    assert notices == [
        "coding.thresholds is left out: 'direct' has no such option",
        "neuron.granularity is left out: 'fixed' has no such option",
    ]
    # An option that the changes set is kept, and is a fault.
    after, notices = changed("coding.name=direct", "coding.thresholds=linear", document=document)
    assert after["coding"]["thresholds"] == "linear" and notices == []


def test_a_key_through_a_value_is_refused():
    with pytest.raises(ConfigError, match="'epochs' is not a table"):
        changed("train.epochs.x=3", document={"train": {"epochs": 3}})


def test_a_section_that_is_not_a_table():
    with pytest.raises(ConfigError) as caught:
        check_recipe({"train": 3})
    assert caught.value.why == "train: must be a table, not 3"


def test_a_data_set_that_needs_a_path():
    with pytest.raises(ConfigError) as caught:
        check_recipe({"data": {"name": "npz"}})
    assert caught.value.why == "data.path: must be given"


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["train", "coding", "model", "neuron", "data", "augment", "x"]),
        st.dictionaries(
            st.sampled_from(["name", "steps", "epochs", "lr", "widths", "reset", "crop", "y"]),
            st.one_of(st.integers(-3, 3), st.floats(), st.text(max_size=3), st.booleans(),
                      st.lists(st.integers(-2, 2), max_size=2)),
            max_size=3,
        ),
        max_size=4,
    )
)  # fmt: skip
def test_any_document_is_a_recipe_or_reported_as_faulty(document):
    try:
        recipe = check_recipe(document)
    except ConfigError as error:
        assert error.why and "fault" in error.what
    else:
        assert check_recipe(recipe.document()).document() == recipe.document()


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("model.epochs", "train.epochs"),
        ("train.steps", "coding.steps"),
        ("model.readout", "readout.name"),
        ("model.synapse", "synapse.name"),
        ("train.method", "method.name"),
    ],
)
def test_a_key_of_another_section_is_named(key, meant):
    section, name = key.split(".")
    with pytest.raises(ConfigError) as refused:
        check_recipe({section: {name: 1}})
    assert f"{key}: unknown key; did you mean {meant}?" in refused.value.why


@pytest.mark.parametrize("size", [2**63, 10**200])
def test_a_size_beyond_64_bits_is_refused(size):
    with pytest.raises(ConfigError) as caught:
        check_recipe({"name": "x", "data": {"name": "digits"}, "model": {"hidden": size}})
    assert "model: cannot be built: a size does not fit into 64 bits" in str(caught.value)
