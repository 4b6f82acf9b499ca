"""The section `[augment]`: options of all kinds of samples, those of other kinds refused."""

import pytest

from asnn.core.errors import ConfigError
from asnn.datasets.transforms.by_kind import augment_options
from asnn.learning import check_recipe
from asnn.learning.recipe.overrides import override, parse_override

EVENTS = {"data": {"name": "events-npz", "path": "a.npz"}, "coding": {"name": "frames", "steps": 4}}


def faults(document) -> str:
    with pytest.raises(ConfigError) as caught:
        check_recipe(document)
    return caught.value.why


def test_the_section_has_the_options_of_all_kinds():
    recipe = check_recipe({"augment": {"crop": 1}})
    assert recipe.augment.options().keys() == augment_options().keys()
    assert recipe.augment.options()["shift"] == 0


def test_options_of_each_kind():
    recipe = check_recipe(EVENTS | {"augment": {"shift": 2, "flip": True, "mix": True}})
    assert recipe.augment.options()["shift"] == 2
    series = {"data": {"name": "qtdb"}, "coding": {"name": "given", "steps": 4}}
    recipe = check_recipe(series | {"augment": {"time_shift": 2, "mask_features": 1}})
    assert recipe.augment.options()["time_shift"] == 2
    # A recipe that states all keys, as that of a run, is read again.
    assert check_recipe(recipe.document()) == recipe


def test_options_of_another_kind_are_faults_with_their_names():
    why = faults(EVENTS | {"augment": {"crop": 1, "shift": 2}})
    assert "augment.crop augments images, the samples are events: events take flip, shift" in why
    assert "augment: augment" not in why
    assert "augment.shift augments events, the samples are images" in faults(
        {"augment": {"shift": 2}}
    )


@pytest.mark.parametrize(
    ("augment", "text"),
    [
        ({"shfit": 2}, "augment.shfit: unknown key; did you mean augment.shift?"),
        ({"mask_tme": 2}, "augment.mask_tme: unknown key; did you mean augment.mask_time?"),
        ({"shift": 1.5}, "augment.shift: "),
        ({"drop": 2.0}, "augment: drop is 2.0: it is a share of the events, 0 to 1"),
    ],
)
def test_faults(augment, text):
    assert text in faults(EVENTS | {"augment": augment})


def changed(document, *texts):
    return override(document, [parse_override(text) for text in texts])


def test_a_code_of_other_samples_leaves_out_what_the_file_augments():
    document = {"augment": {"crop": 1, "flip": True, "rotation": 0.0, "transforms": []}}
    events, notices = changed(document, "coding.name=frames", "augment.shift=2")
    assert events["augment"] == {"flip": True, "rotation": 0.0, "transforms": [], "shift": 2}
    assert notices == ["augment.crop is left out: it does not augment events, which 'frames' takes"]
    # What the user sets is kept, so that a mistake in it is reported.
    events, notices = changed(document, "coding.name=frames", "augment.crop=2")
    assert events["augment"]["crop"] == 2 and notices == []
    for other in ("direct", "unknown"):
        images, notices = changed(document, f"coding.name={other}")
        assert images["augment"] == document["augment"] and notices == []
