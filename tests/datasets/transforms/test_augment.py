"""Augmentation compared with slow implementations on one sample at a time."""

import numpy as np
import pytest
import torch

from asnn.coding.samples import SampleSpec
from asnn.core.errors import ConfigError
from asnn.datasets import Augment
from asnn.datasets.transforms.geometry import crop, flip, quarter_turns, rotate


def images(count=5, channels=2, height=6, width=7, seed=0):
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(seed))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def labels(count=5):
    return torch.arange(count)


def test_flip_mirrors_the_chosen():
    x = images()
    chosen = torch.tensor([True, False, True, True, False])
    found = flip(x, chosen)
    for index in range(5):
        expected = x[index].numpy()[:, :, ::-1] if chosen[index] else x[index].numpy()
        np.testing.assert_array_equal(found[index], expected)


def test_crop_is_a_slice_of_the_padded_image():
    x, margin = images(), 3
    top, left = torch.tensor([0, 3, 6, 1, 5]), torch.tensor([6, 3, 0, 2, 4])
    found = crop(x, margin, top, left)
    for index in range(5):
        padded = np.pad(x[index].numpy(), ((0, 0), (margin, margin), (margin, margin)))
        row, column = int(top[index]), int(left[index])
        expected = padded[:, row : row + 6, column : column + 7]
        np.testing.assert_array_equal(found[index], expected)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_quarter_rotations_of_a_square_equal_rot90(turns):
    x = images(height=6, width=6)
    found = rotate(x, torch.full((5,), 90.0 * turns))
    torch.testing.assert_close(found, torch.rot90(x, turns, (-2, -1)), atol=1e-5, rtol=0)


def test_rotation_is_counter_clockwise():
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 4] = 1.0  # at the right
    found = rotate(x, torch.tensor([90.0]))
    assert found[0, 0, 0, 2] == pytest.approx(1.0, abs=1e-5)  # now at the top
    assert found[0, 0, 4, 2] == pytest.approx(0.0, abs=1e-5)


def slow_rotation(image: np.ndarray, degrees: float) -> np.ndarray:
    """Return the rotation by a loop over output pixels, about the centre, y upwards."""
    _, height, width = image.shape
    out = np.zeros(image.shape)
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    middle = ((height - 1) / 2, (width - 1) / 2)
    for row in range(height):
        for column in range(width):
            right, up = column - middle[1], middle[0] - row
            # The source is rotated clockwise.
            source_right, source_up = cos * right + sin * up, -sin * right + cos * up
            y, x = middle[0] - source_up, middle[1] + source_right
            for near_y in (int(np.floor(y)), int(np.floor(y)) + 1):
                for near_x in (int(np.floor(x)), int(np.floor(x)) + 1):
                    if 0 <= near_y < height and 0 <= near_x < width:
                        weight = (1 - abs(y - near_y)) * (1 - abs(x - near_x))
                        out[:, row, column] += weight * image[:, near_y, near_x]
    return out


@pytest.mark.parametrize("shape", [(6, 6), (5, 9), (8, 3)])
def test_rotation_against_a_slow_reference(shape):
    x = images(height=shape[0], width=shape[1]).double()
    degrees = torch.tensor([0.0, 12.5, 25.0, 77.0, -140.0], dtype=torch.float64)
    found = rotate(x, degrees)
    for index in range(5):
        expected = slow_rotation(x[index].numpy(), float(degrees[index]))
        np.testing.assert_allclose(found[index], expected, atol=1e-9)


def test_mixup_blends_images_and_returns_both_labels():
    x, y = images(), labels()
    mixed, targets = Augment(mixup=True).apply(x, y, epoch=0, generator=seeded(3))
    assert 0 <= targets.weight <= 1
    assert torch.equal(targets.first, y)
    # The labels are 0..4, so the second ones are the permutation itself.
    other = targets.second
    assert sorted(other.tolist()) == y.tolist()
    expected = targets.weight * x + (1 - targets.weight) * x[other]
    torch.testing.assert_close(mixed, expected, atol=0, rtol=0)


def test_mixup_weights_are_uniform():
    generator = seeded(0)
    x, y = images(2), labels(2)
    augment = Augment(mixup=True)
    weights = [augment.apply(x, y, epoch=0, generator=generator)[1].weight for _ in range(2000)]
    # Kolmogorov-Smirnov against U(0, 1): 1.95 / sqrt(n) is the 0.1 % level.
    uniform = np.arange(1, 2001) / 2000
    assert np.abs(np.sort(weights) - uniform).max() < 1.95 / np.sqrt(2000)


@pytest.mark.parametrize(("epoch", "on"), [(0, True), (144, True), (145, False), (200, False)])
def test_mixup_is_off_from_its_epoch(epoch, on):
    augment = Augment(mixup=True, mixup_off_epoch=145)
    x, targets = augment.apply(images(), labels(), epoch=epoch, generator=seeded(3))
    assert torch.equal(x, images()) is not on
    assert (targets.weight < 1) is on


def test_without_options_nothing_is_changed_or_drawn():
    generator = seeded()
    before = generator.get_state()
    x, targets = Augment().apply(images(), labels(), epoch=0, generator=generator)
    assert torch.equal(x, images())
    assert targets.weight == 1.0 and torch.equal(targets.second, labels())
    assert torch.equal(generator.get_state(), before)


def test_each_sample_has_its_own_random_parameters():
    x = torch.zeros(4000, 1, 5, 5)
    x[:, 0, 2, 2] = 1.0
    found, _ = Augment(crop=2).apply(x, labels(4000), epoch=0, generator=seeded())
    pixel = found.flatten(1).argmax(1)
    counts = pixel.bincount(minlength=25)
    assert counts.min() > 100, "each of the 25 offsets, about 160 times each"
    x = torch.zeros(4000, 1, 1, 2)
    x[..., 0] = 1.0
    found, _ = Augment(flip=True).apply(x, labels(4000), epoch=0, generator=seeded())
    # Half of 4,000 within five standard deviations of sqrt(4,000)/2.
    assert abs(found[..., 1].sum().item() - 2000) < 5 * 31.7


def test_rotation_draws_from_0_to_its_limit():
    # The angle is that of a bright pixel at the right after the rotation.
    x = torch.zeros(500, 1, 41, 41)
    x[:, 0, 19:22, 36:39] = 1.0
    found, _ = Augment(rotation=25.0).apply(x, labels(500), epoch=0, generator=seeded())
    rows = torch.arange(41.0)[:, None]
    columns = torch.arange(41.0)
    mass = found[:, 0].sum((1, 2))
    up = 20 - (found[:, 0] * rows).sum((1, 2)) / mass
    right = (found[:, 0] * columns).sum((1, 2)) / mass - 20
    angles = torch.rad2deg(torch.atan2(up, right))
    assert angles.min() > -0.5 and angles.max() < 25.5
    assert angles.mean() == pytest.approx(12.5, abs=5 * 25 / 12**0.5 / 500**0.5)


ALL = Augment(flip=True, crop=2, rotation=20, mixup=True, transforms=["RandomHorizontalFlip"])


def test_results_depend_on_the_generator_only():
    x, y = images(8), labels(8)
    torch.manual_seed(1)
    one, targets = ALL.apply(x, y, epoch=0, generator=seeded(7))
    torch.manual_seed(2)
    two, other_targets = ALL.apply(x, y, epoch=0, generator=seeded(7))
    assert torch.equal(one, two)
    assert targets.weight == other_targets.weight
    assert not torch.equal(one, ALL.apply(x, y, epoch=0, generator=seeded(8))[0])


def test_the_global_generator_is_not_used():
    state = torch.get_rng_state()
    ALL.apply(images(8), labels(8), epoch=0, generator=seeded(7))
    assert torch.equal(torch.get_rng_state(), state)


def test_values_stay_in_the_unit_range():
    x = torch.ones(64, 3, 9, 9)
    found, _ = ALL.apply(x, labels(64), epoch=0, generator=seeded())
    assert found.min() >= 0 and found.max() <= 1
    assert found.dtype == torch.float32


def test_transforms_by_name_and_with_arguments():
    augment = Augment(transforms=[{"name": "RandomGrayscale", "p": 1.0}, "RandomVerticalFlip"])
    x = images(6, channels=3)
    found, _ = augment.apply(x, labels(6), epoch=0, generator=seeded(1))
    assert torch.equal(found[:, 0], found[:, 2])
    weights = torch.tensor([0.2989, 0.587, 0.114])[:, None, None]
    for index in range(6):
        grey = (x[index] * weights).sum(0)
        upright = torch.allclose(found[index, 0], grey, atol=1e-3)
        assert upright or torch.allclose(found[index, 0], grey.flip(0), atol=1e-3)


def test_an_entry_is_not_modified():
    entry = {"name": "RandomErasing", "p": 0.25}
    Augment(transforms=[entry])
    assert entry == {"name": "RandomErasing", "p": 0.25}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("RandomGreyscale", "unknown transform 'RandomGreyscale'"),
        ({"p": 0.5}, "unknown transform None"),
        ({"name": "RandomErasing", "q": 1}, "transform RandomErasing cannot be created"),
        ({"name": "RandomErasing", "p": 7}, "transform RandomErasing cannot be created"),
        ("CutMix", "transform CutMix cannot be used here"),
        ("Compose", "transform Compose cannot be used here"),
    ],
)
def test_invalid_transforms_are_refused(entry, message):
    with pytest.raises(ConfigError, match=message) as caught:
        Augment(transforms=[entry])
    if entry == "RandomGreyscale":
        assert "'RandomGrayscale'" in caught.value.remedy


def test_a_transform_that_changes_the_shape_is_refused():
    augment = Augment(transforms=[{"name": "Resize", "size": [3, 3]}])
    with pytest.raises(ConfigError, match="transform Resize cannot be used here") as caught:
        augment.apply(images(), labels(), epoch=0, generator=seeded())
    assert "makes (2, 3, 3) torch.float32 of (2, 6, 7) torch.float32" in caught.value.why


@pytest.mark.parametrize(
    "option",
    [{"crop": -1}, {"rotation": -5.0}, {"rotation": float("inf")}, {"mixup_off_epoch": -1}],
)
def test_values_out_of_range(option):
    with pytest.raises(ConfigError, match=f"{next(iter(option))} is"):
        Augment(**option)


def test_pydantic_validates_it():
    from pydantic import TypeAdapter, ValidationError

    adapter = TypeAdapter(Augment)
    transforms = ("RandomGrayscale", {"name": "RandomErasing"})
    given = {"flip": True, "crop": 4, "transforms": list(transforms)}
    assert adapter.validate_python(given) == Augment(flip=True, crop=4, transforms=transforms)
    with pytest.raises(ValidationError, match="crop is -1"):
        adapter.validate_python({"crop": -1})


def test_an_empty_batch():
    x, targets = ALL.apply(torch.zeros(0, 1, 4, 4), labels(0), epoch=0, generator=seeded())
    assert x.shape == (0, 1, 4, 4)
    assert len(targets.second) == 0


def test_quarter_turns_are_those_of_rot90():
    x, quarters = images(height=6, width=6), torch.tensor([0, 1, 2, 3, 1])
    found = quarter_turns(x, quarters)
    for index in range(5):
        expected = np.rot90(x[index].numpy(), int(quarters[index]), (1, 2))
        np.testing.assert_array_equal(found[index], expected)


def test_every_quarter_turn_is_as_likely():
    x = torch.arange(4.0).view(1, 1, 2, 2).repeat(4_000, 1, 1, 1) / 4
    found, _ = Augment(rot90=True).apply(x, labels(4_000), epoch=0, generator=seeded())
    counts = (found[:, 0, 0, 0] * 4).long().bincount(minlength=4)
    assert counts.sum() == 4_000 and counts.min() > 900  # 1,000 ± 27 each


def test_images_that_are_not_square_take_no_quarter_turns():
    augment = Augment(rot90=True)
    augment.check(SampleSpec("image", (1, 6, 6)))
    with pytest.raises(ConfigError) as error:
        augment.check(SampleSpec("image", (1, 6, 7)))
    assert error.value.what == ("augment.rot90 turns images by 90°, those of 6×7 are not square")
    Augment().check(SampleSpec("image", (1, 6, 7)))
