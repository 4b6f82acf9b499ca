"""Random erasing: rectangles of the published sizes with the given probability."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.core.errors import ConfigError
from asnn.datasets import Augment
from asnn.datasets.transforms.erasing import erase


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def boxes(erased):
    """Yield (height, width, number of pixels) of the erased area in masks `[N, H, W]`."""
    for mask in erased:
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        yield (
            int(rows[-1] - rows[0]) + 1,
            int(columns[-1] - columns[0]) + 1,
            int(mask.sum()),
        )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 5), st.integers(1, 4), st.integers(1, 20), st.integers(1, 20),
       st.integers(0, 2**40))  # fmt: skip
def test_only_a_black_rectangle_changes(count, channels, height, width, seed):
    x = 0.1 + torch.rand(count, channels, height, width, generator=seeded(1))
    found = erase(x, 1.0, seeded(seed))
    erased = found != x
    assert (found[erased] == 0).all()
    assert (erased == erased[:, :1]).all(), "the same pixels in all channels"
    masks = erased[:, 0][erased.flatten(1).any(1)]
    assert all(h * w == pixels for h, w, pixels in boxes(masks))


@pytest.mark.slow
def test_areas_ratios_and_positions_are_those_of_the_paper():
    height = width = 64
    found = erase(torch.ones(3000, 1, height, width), 1.0, seeded())
    erased = (found == 0)[:, 0]
    assert erased.flatten(1).any(1).all()
    sizes = torch.tensor(list(boxes(erased)), dtype=torch.float64)
    share = sizes[:, 2] / (height * width)
    # Sides are rounded: half a pixel is a tenth of the shortest side, about 5.
    assert share.min() > 0.02 * 0.85 and share.max() < 1 / 3 * 1.05
    assert abs(float(share.mean()) - (0.02 + 1 / 3) / 2) < 0.01
    ratio = (sizes[:, 0] / sizes[:, 1]).log()
    assert float(ratio.abs().max()) < math.log(10 / 3) * 1.15
    assert abs(float(ratio.mean())) < 0.05, "the ratio is symmetric"
    frequency = erased.double().mean(0)
    assert frequency[0, 0] > 0 and torch.allclose(frequency, frequency.flip(0), atol=0.06)


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_the_probability(probability):
    x, y = torch.ones(2000, 1, 12, 12), torch.zeros(2000)
    found, _ = Augment(erasing=probability).apply(x, y, epoch=0, generator=seeded(3))
    share = float((found == 0).flatten(1).any(1).double().mean())
    assert abs(share - probability) <= 4 * math.sqrt(probability * (1 - probability) / 2000)


def test_erasing_is_after_transforms_and_before_mixing():
    """An inversion after the erasing would turn the rectangle white."""
    x = torch.ones(64, 1, 20, 20)
    augment = Augment(erasing=1.0, transforms=("RandomInvert",))
    found, _ = augment.apply(x, torch.zeros(64), epoch=0, generator=seeded(2))
    inverted = (found == 0).flatten(1).all(1)  # inverted ones are black everywhere
    assert 0 < int(inverted.sum()) < 64
    assert all(h * w == n for h, w, n in boxes((found == 0)[~inverted][:, 0]))
    mixed, targets = Augment(erasing=1.0, mixup=True).apply(
        x, torch.arange(64), epoch=0, generator=seeded(2)
    )
    values = {0.0, targets.weight, 1 - targets.weight, 1.0}
    assert all(min(abs(v - w) for w in values) < 1e-6 for v in mixed.unique().tolist())
    assert len(mixed.unique()) > 2


def test_a_probability_out_of_range():
    for value in (-0.1, 1.5):
        with pytest.raises(ConfigError, match=f"erasing is {value}: it must be from 0 to 1"):
            Augment(erasing=value)
