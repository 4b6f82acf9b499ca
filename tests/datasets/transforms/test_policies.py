"""RandAugment and AutoAugment: magnitude, supported images, random numbers."""

import pytest
import torch

from asnn.core.errors import ConfigError
from asnn.datasets import Augment
from asnn.datasets.sources.images.torchvision_import import torchvision
from asnn.datasets.transforms.by_kind import augment_kind
from asnn.datasets.transforms.policies import auto_augment, rand_augment


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


POLICIES = [
    {"randaugment": 2},
    {"autoaugment": "cifar10"},
    {"autoaugment": "imagenet"},
    {"autoaugment": "svhn"},
]


@pytest.mark.parametrize("options", POLICIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_images(options, channels):
    x = torch.rand(48, channels, 11, 9, generator=seeded(1))
    found, targets = Augment(**options).apply(x, torch.arange(48), epoch=0, generator=seeded(2))
    assert found.shape == x.shape and found.dtype == torch.float32
    assert found.min() >= 0 and found.max() <= 1
    changed = (found != x).flatten(1).any(1)
    assert int(changed.sum()) > 24
    assert targets.weight == 1.0


@pytest.mark.parametrize("options", POLICIES)
def test_other_channels_are_refused(options):
    with pytest.raises(ConfigError, match="Augment cannot be used here") as caught:
        augment = Augment(**options)
        for seed in range(20):  # some operations change nothing
            augment.apply(torch.rand(8, 2, 8, 8), torch.arange(8), epoch=0, generator=seeded(seed))
    assert "on an image (2, 8, 8)" in caught.value.why and "1 or 3" in caught.value.why


def test_the_scale_of_magnitudes_ends_at_10():
    """Magnitude 10 is a rotation by 30 degrees and a shear of 0.3, magnitude 9 is 0.9 of that."""
    for magnitude in (0, 5, 9, 10):
        transform = rand_augment(1, magnitude)
        space = transform._AUGMENTATION_SPACE
        for name, maximum in (("Rotate", 30.0), ("ShearX", 0.3), ("Color", 0.9)):
            values = space[name][0](transform.num_magnitude_bins, 32, 32)
            assert float(values[transform.magnitude]) == pytest.approx(maximum * magnitude / 10)


def test_a_larger_magnitude_changes_more():
    x = torch.rand(200, 3, 16, 16, generator=seeded(4))

    def change(magnitude):
        augment = Augment(randaugment=1, randaugment_magnitude=magnitude)
        found, _ = augment.apply(x, torch.arange(200), epoch=0, generator=seeded(6))
        return float((found - x).abs().mean())

    assert change(1) < change(5) < change(10)


def test_0_operations_change_nothing():
    x = torch.rand(4, 3, 8, 8)
    generator = seeded()
    before = generator.get_state()
    found, _ = Augment(randaugment=0).apply(x, torch.arange(4), epoch=0, generator=generator)
    assert torch.equal(found, x) and torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("options", POLICIES)
def test_results_depend_on_the_generator_only(options):
    x, y = torch.rand(16, 3, 8, 8, generator=seeded(3)), torch.arange(16)
    augment = Augment(**options, erasing=0.5, mixup=True, cutmix=True)
    state = torch.get_rng_state()
    once, targets = augment.apply(x, y, epoch=0, generator=seeded(7))
    assert torch.equal(torch.get_rng_state(), state), "the global generator is restored"
    torch.rand(3)
    again, others = augment.apply(x, y, epoch=0, generator=seeded(7))
    assert torch.equal(once, again) and targets.weight == others.weight
    assert not torch.equal(once, augment.apply(x, y, epoch=0, generator=seeded(8))[0])


def test_policies_equal_those_of_torchvision():
    policies = {p.value: p for p in torchvision().transforms.v2.AutoAugmentPolicy}
    for name, policy in policies.items():
        assert auto_augment(name).policy is policy


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"autoaugment": "cifar"}, "unknown autoaugment policy 'cifar'"),
        ({"randaugment": -1}, "randaugment is -1"),
        ({"randaugment": 2, "randaugment_magnitude": 11}, "randaugment_magnitude is 11"),
    ],
)
def test_invalid_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Augment(**options)


def test_recipes_accept_them():
    from asnn.learning import check_recipe, parse_override
    from asnn.learning.recipe.overrides import override

    texts = ["augment.randaugment=2", "augment.autoaugment=cifar10", "augment.erasing=0.25",
             "augment.cutmix=true", "augment.cutmix_alpha=1.0"]  # fmt: skip
    recipe = check_recipe(override({}, [parse_override(text) for text in texts])[0])
    assert augment_kind("image", recipe.augment.options()) == Augment(
        randaugment=2, autoaugment="cifar10", erasing=0.25, cutmix=True, cutmix_alpha=1.0
    )
    with pytest.raises(ConfigError) as caught:
        check_recipe({"augment": {"autoaugment": "cifar"}})
    assert "augment.autoaugment: must be 'cifar10', 'imagenet' or 'svhn'" in caught.value.why
