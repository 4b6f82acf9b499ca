"""Augmentation of series, compared with loops over steps, and its distributions."""

import math

import pytest
import torch

from asnn.coding.samples import SampleSpec
from asnn.core.errors import ConfigError
from asnn.datasets.transforms.base import sample_generators
from asnn.datasets.transforms.series import SeriesAugment, shift, span

STEPS, FEATURES = 12, 5


def series(count=4, shape=(STEPS, FEATURES), seed=0):
    # Above 0, so that a zero is what a mask or a shift wrote.
    return 0.1 + torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


def augmented(x, y=None, seed=0, **options):
    y = torch.arange(len(x)) if y is None else y
    generators = sample_generators(seed, torch.arange(len(x)))
    return SeriesAugment(**options).apply(x, y, epoch=0, samples=generators)


@pytest.mark.parametrize("shape", [(STEPS, FEATURES), (STEPS, 2, 3, 3), (STEPS,)])
def test_a_shift_is_a_loop_over_steps(shape):
    x = series(shape=shape)
    offset = torch.tensor([0, 3, -5, 11])
    found = shift(x, offset, 7)
    for b in range(4):
        for t in range(STEPS):
            source = t - int(offset[b])
            expected = x[b, source] if 0 <= source < STEPS else torch.full_like(x[b, 0], 7)
            assert torch.equal(found[b, t], expected)


def test_labels_of_steps_move_with_the_steps():
    # A step holds its own label plus 1, so that both must still agree; 0 and -1 enter.
    labels = torch.randint(4, (50, STEPS), generator=torch.Generator().manual_seed(1))
    x = (labels + 1).float()[..., None].expand(-1, -1, 3)
    found, targets = augmented(x, labels, time_shift=4)
    assert torch.equal(targets.first, (found[..., 0] - 1).long())
    assert torch.equal(targets.second, targets.first) and targets.weight == 1.0
    entered = (targets.first == -1).sum(1)
    assert int(entered.max()) == 4 and set(entered.tolist()) == set(range(5))


def test_labels_of_series_stay():
    labels = torch.arange(4)
    found, targets = augmented(series(), labels, time_shift=6)
    assert torch.equal(targets.first, labels)
    assert (found == 0).any()


def test_real_values_of_steps_cannot_move():
    x = series()
    with pytest.raises(ConfigError, match="cannot move real values of each step"):
        augmented(x, torch.rand(4, STEPS), time_shift=1)
    _, targets = augmented(x, torch.rand(4, STEPS - 1), time_shift=1)
    assert targets.first.shape == (4, STEPS - 1)


def test_shifts_are_uniform():
    count, largest = 5_000, 2
    x = torch.zeros(count, STEPS, 1)
    x[:, 6] = 1
    found, _ = augmented(x, time_shift=largest)
    numbers = torch.bincount(found[..., 0].argmax(1), minlength=STEPS)
    share = 1 / (2 * largest + 1)
    deviation = (count * share * (1 - share)) ** 0.5
    assert numbers.nonzero().flatten().tolist() == [4, 5, 6, 7, 8]
    assert float((numbers[4:9] - count * share).abs().max()) <= 5 * deviation


def test_noise_is_gaussian():
    x, sigma = torch.ones(400, STEPS, FEATURES), 0.3
    found, _ = augmented(x, noise=sigma)
    noise = (found - 1).double().flatten()
    count = noise.numel()
    assert abs(float(noise.mean())) <= 5 * sigma / count**0.5
    assert float(noise.std()) == pytest.approx(sigma, abs=5 * sigma / (2 * count) ** 0.5)
    inside = float((noise.abs() < sigma).double().mean())
    expected = math.erf(2**-0.5)
    assert inside == pytest.approx(expected, abs=5 * (expected * (1 - expected) / count) ** 0.5)


def test_a_span_has_every_length_and_position():
    count, longest, size = 20_000, 3, 8
    numbers = torch.rand(2, count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    masks = span(*numbers, longest, size)
    lengths = masks.sum(1)
    for length in range(longest + 1):
        chosen = masks[lengths == length]
        share = 1 / (longest + 1)
        assert abs(len(chosen) - count * share) <= 5 * (count * share * (1 - share)) ** 0.5
        found = {tuple(each) for each in chosen.int().tolist()}
        expected = {
            tuple(int(first <= i < first + length) for i in range(size))
            for first in range(size - length + 1)
        }
        assert found == expected


@pytest.mark.parametrize(("option", "axis"), [("mask_time", 1), ("mask_features", 2)])
def test_masks_set_whole_steps_or_features_to_zero(option, axis):
    x = series(300)
    found, _ = augmented(x, **{option: 3})
    zero = found == 0
    assert torch.equal(zero.any(3 - axis), zero.all(3 - axis)), "whole lines"
    assert set(zero.any(3 - axis).sum(1).tolist()) == {0, 1, 2, 3}
    assert torch.equal(found[~zero], x[~zero])


def test_frames_are_masked_in_time():
    x = series(shape=(STEPS, 2, 3, 3))
    found, _ = augmented(x, mask_time=5)
    assert (found == 0).any()


def test_an_option_does_not_change_the_numbers_of_another():
    x = series(100)
    masked, _ = augmented(x, mask_features=2)
    both, _ = augmented(x, mask_features=2, mask_time=3)
    assert torch.equal(both[both != 0], masked[both != 0])
    columns = (masked == 0).all(1)
    assert torch.equal((both == 0).all(1), columns)


def test_spikes_remain_spikes():
    x = (series(50) > 0.6).float()
    found, _ = augmented(x, time_shift=3, mask_time=2, mask_features=2)
    assert set(found.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("option", ["time_shift", "noise", "mask_time", "mask_features"])
def test_refused_values(option):
    with pytest.raises(ConfigError, match=f"{option} is -1: it cannot be negative"):
        SeriesAugment(**{option: -1})


def test_options_that_do_not_fit_the_series():
    spikes = SampleSpec("series", (FEATURES,), steps=STEPS, binary=True)
    frames = SampleSpec("series", (2, 3, 3), steps=STEPS)
    SeriesAugment(time_shift=11, mask_time=11, mask_features=4).check(spikes)
    SeriesAugment(noise=0.1, mask_time=5).check(frames)
    for options, spec, text in (
        ({"noise": 0.1}, spikes, "augment.noise is 0.1, the series are spikes"),
        ({"mask_features": 2}, frames, "the series have 2×3×3 values a step"),
        ({"mask_features": 5}, spikes, "augment.mask_features is 5, the series have 5 features"),
        ({"time_shift": 12}, spikes, "augment.time_shift is 12, the series have 12 steps"),
        ({"mask_time": 12}, frames, "augment.mask_time is 12, the series have 12 steps"),
    ):
        with pytest.raises(ConfigError, match=text):
            SeriesAugment(**options).check(spec)


def test_no_option_returns_the_batch():
    x = series()
    found, targets = augmented(x)
    assert found is x and targets.weight == 1.0
