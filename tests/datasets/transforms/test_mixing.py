"""Mixup and cutmix: the distribution of weights, and pixels and labels by counting."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from asnn.core.errors import ConfigError
from asnn.datasets import Augment
from asnn.datasets.transforms.mixing import cutmix, draw_weight, mixup


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def plain_images(count, channels, height, width):
    """Return images whose pixels all have the number of the image."""
    return torch.arange(float(count)).view(-1, 1, 1, 1).expand(count, channels, height, width)


@pytest.mark.parametrize("alpha", [None, 0.2, 0.5, 1.0, 4.0])
def test_weights_are_drawn_from_beta(alpha):
    generator = seeded(1)
    found = [draw_weight(alpha, generator) for _ in range(2000)]
    expected = stats.beta(alpha or 1, alpha or 1)
    assert stats.kstest(found, expected.cdf).pvalue > 1e-3
    # Negative control: another Beta distribution is rejected.
    assert stats.kstest(found, stats.beta(2, 2).cdf).pvalue < 1e-3


def test_mixup_with_alpha():
    x, y = torch.rand(6, 3, 4, 4, generator=seeded()), torch.arange(6)
    mixed, targets = Augment(mixup=True, mixup_alpha=0.5).apply(x, y, epoch=0, generator=seeded(3))
    expected = targets.weight * x + (1 - targets.weight) * x[targets.second]
    torch.testing.assert_close(mixed, expected, atol=0, rtol=0)
    # Recipes without the key draw the same numbers as before it existed.
    plain = Augment(mixup=True).apply(x, y, epoch=0, generator=seeded(3))[1].weight
    assert plain == float(torch.rand((), generator=seeded(3))) != targets.weight


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 17),
    st.integers(1, 17),
    st.integers(0, 2**40),
    st.sampled_from([None, 0.3, 2.0]),
)
def test_the_weight_of_cutmix_is_the_share_of_pixels(count, channels, height, width, seed, alpha):
    x, y = plain_images(count, channels, height, width), torch.arange(count)
    kept = x.clone()
    mixed, targets = cutmix(x, y, alpha, seeded(seed))
    assert torch.equal(x, kept), "the batch is not modified"
    assert sorted(targets.second.tolist()) == y.tolist()
    for index in range(count):
        first, second = float(index), float(targets.second[index])
        assert set(mixed[index].unique().tolist()) <= {first, second}
        if first != second:
            share = float((mixed[index] == first).double().mean())
            assert share == pytest.approx(targets.weight, abs=1e-12)


def test_cutmix_pastes_one_rectangle():
    x, y = plain_images(5, 2, 12, 9), torch.arange(5)
    sizes = set()
    for seed in range(60):
        mixed, targets = cutmix(x, y, None, seeded(seed))
        pasted = mixed != x
        moved = targets.second != y
        if not pasted.any():
            continue
        one = pasted[moved][0, 0]
        assert (pasted[moved] == one).all(), "the same pixels in all channels and samples"
        rows, columns = one.any(1).nonzero()[:, 0], one.any(0).nonzero()[:, 0]
        height, width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
        assert int(one.sum()) == height * width, "a rectangle without holes"
        sizes.add((height, width))
    assert len(sizes) > 10


def test_the_rectangle_of_cutmix_has_the_size_of_the_paper(monkeypatch):
    """√(1 - λ) of each side about the middle: with λ = 0.75, half of 16 by 16."""
    monkeypatch.setattr("asnn.datasets.transforms.mixing.draw_weight", lambda *_: 0.75)
    monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor(8))
    x = plain_images(4, 1, 16, 16)
    mixed, targets = cutmix(x, torch.arange(4), None, seeded(2))
    moved = int((targets.second != torch.arange(4)).nonzero()[0])
    expected = torch.zeros(16, 16, dtype=torch.bool)
    expected[4:12, 4:12] = True
    assert torch.equal(mixed[moved, 0] != x[moved, 0], expected)
    assert targets.weight == 0.75


def kinds_of(augment, batches=400):
    """Return the numbers of blended batches and of all others."""
    x, y = plain_images(4, 1, 16, 16), torch.arange(4)
    pure = {float(value) for value in range(4)}
    blended = 0
    generator = seeded(5)
    for _ in range(batches):
        mixed, _ = augment.apply(x, y, epoch=0, generator=generator)
        blended += not set(mixed.unique().tolist()) <= pure
    return blended, batches - blended


def test_both_together_have_equal_probability():
    blended, pasted = kinds_of(Augment(mixup=True, cutmix=True))
    # Half of 400 within four standard deviations of √400/2 = 10; a batch with the identity as its
    # permutation (one of 24) is unchanged and counted as pasted.
    assert 150 < blended < 240 and pasted == 400 - blended
    assert kinds_of(Augment(cutmix=True))[0] == 0
    assert kinds_of(Augment(mixup=True))[0] > 350


@pytest.mark.parametrize("options", [{"mixup": True}, {"cutmix": True},
                                     {"mixup": True, "cutmix": True}])  # fmt: skip
def test_one_epoch_ends_all_mixing(options):
    augment = Augment(mixup_off_epoch=3, **options)
    x, y = torch.rand(4, 1, 8, 8), torch.arange(4)
    before = [augment.apply(x, y, epoch=2, generator=seeded(s))[1].weight for s in range(8)]
    assert any(weight < 1 for weight in before)
    for seed in range(8):
        same, targets = augment.apply(x, y, epoch=3, generator=seeded(seed))
        assert torch.equal(same, x) and targets.weight == 1.0


def test_mixing_depends_on_the_generator_only():
    augment = Augment(mixup=True, cutmix=True, mixup_alpha=0.5, cutmix_alpha=1.0)
    x, y = torch.rand(6, 3, 8, 8), torch.arange(6)
    np.random.seed(0)
    torch.manual_seed(0)
    once = augment.apply(x, y, epoch=0, generator=seeded(9))
    np.random.seed(1)
    torch.manual_seed(1)
    again = augment.apply(x, y, epoch=0, generator=seeded(9))
    assert torch.equal(once[0], again[0]) and once[1].weight == again[1].weight


@pytest.mark.parametrize("option", [{"mixup_alpha": 0.0}, {"cutmix_alpha": -1.0},
                                    {"mixup_alpha": float("inf")}])  # fmt: skip
def test_alphas_out_of_range(option):
    with pytest.raises(ConfigError, match=f"{next(iter(option))} is .* above 0"):
        Augment(**option)


def test_an_empty_batch():
    for mix in (mixup, cutmix):
        x, targets = mix(torch.zeros(0, 1, 4, 4), torch.zeros(0), None, seeded())
        assert len(x) == len(targets.second) == 0
