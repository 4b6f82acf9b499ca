"""Which options augment which kind of samples."""

from dataclasses import fields
from typing import get_type_hints

import pytest

from asnn.coding.samples import SampleSpec
from asnn.core.errors import ConfigError
from asnn.datasets import Augment, make_augment
from asnn.datasets.transforms.by_kind import BY_KIND, augment_kind, augment_options
from asnn.datasets.transforms.events import EventAugment
from asnn.datasets.transforms.series import SeriesAugment

SPECS = {
    "image": SampleSpec("image", (1, 8, 8)),
    "events": SampleSpec("events", (2, 8, 8), duration=1_000),
    "series": SampleSpec("series", (4,), steps=20),
}
CLASSES = {"image": Augment, "events": EventAugment, "series": SeriesAugment}


@pytest.mark.parametrize("kind", SPECS)
def test_the_defaults_of_all_options_fit_every_kind(kind):
    options = {name: default for name, (_, default) in augment_options().items()}
    assert make_augment(SPECS[kind], options) == CLASSES[kind]()
    assert make_augment(SPECS[kind], {}) == CLASSES[kind]()


def test_options_that_kinds_share_have_one_type_and_default():
    options = augment_options()
    for each in BY_KIND.values():
        hints = get_type_hints(each)
        for field in fields(each):
            assert options[field.name] == (hints[field.name], field.default)


def test_a_kind_gets_its_own_options():
    options = {"flip": True, "shift": 2, "crop": 0, "transforms": [], "noise": 0}
    assert make_augment(SPECS["events"], options) == EventAugment(flip=True, shift=2)


@pytest.mark.parametrize(
    ("kind", "options", "text", "why"),
    [
        (
            "events",
            {"crop": 1},
            "augment.crop augments images, the samples are events",
            "events take flip, shift, polarity_flip, drop, stretch, mix, mix_off_epoch",
        ),
        (
            "series",
            {"flip": True, "crop": 2, "rotation": 5.0},
            "augment.flip augments images and events, augment.crop and augment.rotation augment "
            "images, the samples are series",
            "series take time_shift, noise, mask_time, mask_features",
        ),
        (
            "image",
            {"time_shift": 3, "flip": True},
            "augment.time_shift augments series, the samples are images",
            "images take flip, crop, rotation",
        ),
    ],
)
def test_options_of_other_kinds_are_refused_by_name(kind, options, text, why):
    with pytest.raises(ConfigError) as refused:
        augment_kind(kind, options)
    assert text in str(refused.value)
    assert why in str(refused.value)
    assert refused.value.remedy == "leave the others out"


def test_an_unknown_option():
    with pytest.raises(ConfigError, match="unknown option of augment 'shfit'") as refused:
        make_augment(SPECS["events"], {"shfit": 1})
    assert "did you mean 'shift'?" in refused.value.remedy


def test_the_samples_of_a_data_set_must_fit():
    augment_kind("events", {"shift": 20})
    with pytest.raises(ConfigError, match="the shorter side of the sensor 8 pixels"):
        make_augment(SPECS["events"], {"shift": 20})
