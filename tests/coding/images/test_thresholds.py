"""Threshold tables and slots: against published numbers, SciPy, and exact integer arithmetic."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.stats import norm

from asnn.coding.images.thresholds import LinearThresholds, QuantileThresholds, create_thresholds
from asnn.core import ConfigError

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def slots_of_pixels(count: int) -> list[int]:
    """Return the slot of each pixel k/255, the first i with k/255 > 1 - i/K, by integers."""
    return [
        next((i for i in range(1, count + 1) if k * count > 255 * (count - i)), 0)
        for k in range(256)
    ]


def pixels(dtype: torch.dtype) -> torch.Tensor:
    counting = torch.float64 if dtype == torch.float64 else torch.float32
    return (torch.arange(256, dtype=counting) / 255).to(dtype)


def standardised(x: np.ndarray) -> np.ndarray:
    """Return LayerNorm over all axes but the first, ε = 1e-5 as in torch, in float64."""
    axes = tuple(range(1, x.ndim))
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt(centred.var(axes, keepdims=True) + 1e-5)


def max_deviation_in_sigma(slot: torch.Tensor, count: int) -> float:
    """Return the largest deviation of a slot's count from K equal shares, in σ."""
    found = np.bincount(slot.flatten().numpy(), minlength=count + 1)[1:]
    n = slot.numel()
    return float(np.abs(found - n / count).max() / np.sqrt(n / count * (1 - 1 / count)))


def test_the_linear_table_descends_to_0_in_equal_steps():
    assert LinearThresholds(4).table().tolist() == [0.75, 0.5, 0.25, 0.0]
    assert LinearThresholds(1).table().tolist() == [0.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 10, 15, 31, 51, 255])
def test_linear_slots_of_all_pixels_equal_integer_arithmetic(count, dtype):
    # 3, 5, 15, 51 and 255 divide 255: some pixels lie exactly on a threshold.
    assert LinearThresholds(count).slot(pixels(dtype)).tolist() == slots_of_pixels(count)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("count", [1, 3, 5, 15, 17])
def test_half_precision_pixels_on_a_threshold_have_the_later_slot(count, dtype):
    # These divide 255: a pixel is on a threshold or 1/255 away, which both dtypes resolve.
    assert LinearThresholds(count).slot(pixels(dtype)).tolist() == slots_of_pixels(count)


def test_a_comparison_with_equality_gives_other_slots():
    for count in (3, 5, 15):
        with_equality = [
            next(i for i in range(1, count + 1) if k * count >= 255 * (count - i))
            for k in range(256)
        ]
        found = LinearThresholds(count).slot(pixels(torch.float32)).tolist()
        # One pixel differs for each threshold, the pixel on it.
        assert sum(a != b for a, b in zip(found, with_equality, strict=True)) == count


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_above_1_have_the_first_slot_and_negative_ones_none(dtype):
    x = torch.tensor([2.0, 1.0, 0.0, -0.5], dtype=dtype)
    assert LinearThresholds(5).slot(x).tolist() == [1, 1, 0, 0]


def test_smallest_positive_value_has_a_slot():
    tiny = torch.tensor([torch.finfo(torch.float32).tiny])
    assert LinearThresholds(7).slot(tiny).tolist() == [7]


def test_the_quantile_table_of_7_slots_is_that_of_the_paper():
    # The table of arXiv 2408.12407 for K = 7, to its four digits.
    paper = [0.7441, 0.6378, 0.5449, 0.4551, 0.3622, 0.2559, 0.0]
    found = QuantileThresholds(7).table()
    assert found.tolist() == pytest.approx(paper, abs=5e-5)
    assert QuantileThresholds(8).table()[:7].tolist() != pytest.approx(paper, abs=5e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 6, 7, 9, 31, 63, 1023])
def test_quantile_table_is_the_sigmoid_of_normal_quantiles(count):
    p = 1 - np.arange(1, count + 1) / count
    expected = expit(norm.ppf(p))  # ppf(0) is -inf and expit(-inf) is 0
    assert expected[-1] == 0
    np.testing.assert_allclose(QuantileThresholds(count).table(), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 15])
def test_quantile_slots_are_the_first_threshold_below_the_sigmoid(count):
    x = np.random.default_rng(count).random((3, 2, 5, 4))
    values = expit(standardised(x))
    table = expit(norm.ppf(1 - np.arange(1, count + 1) / count))
    expected = np.empty(x.shape, int)
    for index in np.ndindex(x.shape):
        expected[index] = next(i for i, t in enumerate(table, start=1) if values[index] > t)
    slot = QuantileThresholds(count).slot(torch.from_numpy(x))
    assert slot.tolist() == expected.tolist()


def test_quantile_slots_do_not_depend_on_the_batch():
    x = torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    rule = QuantileThresholds(5)
    together = rule.slot(x)
    assert together.tolist() == torch.cat([rule.slot(image[None]) for image in x]).tolist()
    # Contrast and brightness do not matter while ε = 1e-5 is small against the variance.
    assert (rule.slot(40 * x + 3) != together).float().mean() < 0.02


@pytest.mark.parametrize("count", [4, 7])
def test_normal_data_fills_quantile_slots_equally(count):
    x = torch.randn(1, 1, 400, 400, generator=torch.Generator().manual_seed(3))
    assert max_deviation_in_sigma(QuantileThresholds(count).slot(x), count) < 5


@pytest.mark.parametrize("count", [4, 7])
def test_other_data_and_other_thresholds_fill_slots_unequally(count):
    seeded = torch.Generator().manual_seed(3)
    uniform = torch.rand(1, 1, 400, 400, generator=seeded)
    assert max_deviation_in_sigma(QuantileThresholds(count).slot(uniform), count) > 5
    normal = torch.sigmoid(torch.randn(1, 1, 400, 400, generator=seeded))
    assert max_deviation_in_sigma(LinearThresholds(count).slot(normal), count) > 5


def test_quantile_moments_are_mean_and_deviation_of_each_image():
    x = np.random.default_rng(1).random((3, 2, 4, 5))
    mean, deviation = QuantileThresholds(4).moments(torch.from_numpy(x))
    assert mean.shape == deviation.shape == (3, 1, 1, 1)
    np.testing.assert_allclose(mean.flatten(), x.mean((1, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(deviation.flatten(), np.sqrt(x.var((1, 2, 3)) + 1e-5), rtol=1e-12)


def test_unknown_rule_lists_the_rules():
    with pytest.raises(ConfigError) as caught:
        create_thresholds("quantiles", 4)
    assert caught.value.what == "unknown thresholds 'quantiles'"
    assert caught.value.why == "choose from linear, quantile"
