"""Corruptions of images and of spikes against their formulas, and their random numbers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from asnn.measure.robustness.corruptions import corrupt
from asnn.measure.robustness.inputs import (
    SampleRandom,
    blur,
    contrast,
    gaussian_noise,
    salt_and_pepper,
    spike_drop,
    spike_jitter,
)
from tests.support.small_lenet import HARDEST, NAMES, STEPS, network
from tests.support.sparse_layers import images


def random(x, key="a 0"):
    return SampleRandom(x, key)


def share(values):
    return values.double().mean().item()


@pytest.mark.parametrize("sigma", [0.04, 0.1])
def test_gaussian_noise_has_its_deviation_and_stays_in_range(sigma):
    grey = torch.full((40, 1, 32, 32), 0.5) + images(40, 1, 1, 1) * 0.01
    noise = gaussian_noise(grey, sigma, random(grey)) - grey
    n = noise.numel()
    assert noise.mean().abs() < 5 * sigma / math.sqrt(n)
    assert noise.std().item() == pytest.approx(sigma, rel=5 / math.sqrt(2 * n))
    # The noise of pixels and images is independent.
    assert torch.corrcoef(noise.flatten(1)).fill_diagonal_(0).abs().max() < 0.2
    white = torch.ones(1, 1, 32, 32)
    noisy = gaussian_noise(white, sigma, random(white))
    assert (noisy.min() < 1, noisy.max() <= 1) == (True, True)
    assert share(noisy == 1) == pytest.approx(0.5, abs=0.1)  # values above 1 are clipped


@pytest.mark.parametrize("p", [0.07, 0.5, 1.0])
def test_salt_and_pepper_have_equal_shares_and_other_values_are_kept(p):
    x = 0.1 + 0.8 * images(40, 3, 20, 20)
    out = salt_and_pepper(x, p, random(x))
    tolerance = 5 * math.sqrt(p / 2 / x.numel())
    assert share(out == 1) == pytest.approx(p / 2, abs=tolerance)
    assert share(out == 0) == pytest.approx(p / 2, abs=tolerance)
    kept = (out != 0) & (out != 1)
    assert torch.equal(out[kept], x[kept])


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from([1, 3]),
    st.sampled_from([0.05, 0.4, 1.0, 3.3]),
)
def test_blur_equals_scipy(height, width, channels, sigma):
    x = images(2, channels, height, width).double()
    expected = gaussian_filter(x.numpy(), sigma, mode="nearest", truncate=4.0, axes=(2, 3))
    np.testing.assert_allclose(blur(x, sigma, random(x)).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("lost", [0.25, 0.85, 1.0])
def test_contrast_shrinks_towards_the_mean_of_each_channel(lost):
    x = images(5, 3, 6, 7).double()
    values = x.numpy()
    mean = values.mean(axis=(2, 3), keepdims=True)
    expected = (values - mean) * (1 - lost) + mean
    np.testing.assert_allclose(contrast(x, lost, random(x)).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("p", [0.05, 0.5, 1.0])
def test_spikes_are_dropped_and_none_is_added(p):
    spikes = (images(30, 4, 3, 16, 16) < 0.4).float()
    kept = spike_drop(spikes, p, random(spikes))
    assert ((kept == spikes) | (kept == 0)).all()
    n = int(spikes.sum())
    assert kept.sum().item() / n == pytest.approx(1 - p, abs=5 * math.sqrt(p * (1 - p) / n))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.floats(0.1, 4), st.integers(0, 9))
def test_jitter_equals_a_loop_over_spikes(steps, width, sigma, seed):
    spikes = (images(2, steps, 1, 2, width, seed=seed) < 0.5).float()
    moved = spike_jitter(spikes, sigma, random(spikes))
    shift = random(spikes).normal(spikes)
    expected = torch.zeros_like(spikes)
    for b, t, c, i, j in spikes.nonzero().tolist():
        to = t + round(sigma * shift[b, t, c, i, j].item())
        expected[b, min(max(to, 0), steps - 1), c, i, j] = 1
    assert torch.equal(moved, expected)


def test_shifts_are_rounded_normal_numbers():
    spikes = torch.zeros(40, 21, 1, 20, 20)
    spikes[:, 10] = 1
    spikes[:, 0, 0, 0, 0] = torch.arange(40) % 2  # so that images differ
    moved = spike_jitter(spikes, 1.5, random(torch.arange(40.0))).sum((0, 2, 3, 4))
    n = 40 * 400
    for t in range(4, 17):
        low, high = ((t - 10 + half) / 1.5 / math.sqrt(2) for half in (-0.5, 0.5))
        expected = (math.erf(high) - math.erf(low)) / 2
        assert moved[t].item() / n == pytest.approx(expected, abs=5 * math.sqrt(expected / n))


@pytest.mark.parametrize("name", ["temporal", "hybrid"])
def test_jitter_keeps_the_number_of_single_spikes(name):
    model = network(coding=name)
    x = images(9, 1, 8, 8)
    clean = model.coding.encode(x)
    moved = corrupt(model, "spike-jitter", 1.0).coding.encode(x)
    analog = model.coding.analog_steps
    assert torch.equal(moved[:analog], clean[:analog])
    assert torch.equal(moved[analog:].sum(0), clean[analog:].sum(0))
    assert not torch.equal(moved[analog:], clean[analog:])


@pytest.mark.parametrize("name", ["spike-drop", "spike-jitter"])
@pytest.mark.parametrize("coding", ["hybrid", "hybrid-embedding", "temporal", "rate"])
def test_analog_steps_are_kept_and_spikes_are_binary(name, coding):
    model = network(coding=coding, coding_options={"seed": 0} if coding == "rate" else {})
    x = images(4, 1, 8, 8)
    clean, code = (m.coding.encode(x) for m in (model, corrupt(model, name, 0.5)))
    analog = model.coding.analog_steps
    assert code.shape == clean.shape
    assert torch.equal(code[:analog], clean[:analog])
    assert set(code[analog:].unique().tolist()) <= {0, 1}
    assert not torch.equal(code, clean)


@pytest.mark.parametrize("name", ["gaussian-noise", "salt-and-pepper", "blur", "contrast"])
def test_a_static_code_stays_static(name):
    model = network(coding="direct")
    corrupted = corrupt(model, name, HARDEST[name])
    assert (corrupted.coding.static, corrupted.coding.analog_steps) == (True, STEPS)
    x = images(3, 1, 8, 8)
    code = corrupted.coding.encode(x)
    assert code.stride(0) == 0
    change = {"blur": blur, "contrast": contrast}.get(name)
    if change:
        assert torch.equal(code[0], change(x, HARDEST[name], random(x)))


@pytest.mark.parametrize("name", NAMES[:6])
def test_corruption_of_a_sample_does_not_depend_on_the_batch(name):
    model = network(coding="temporal")
    code = corrupt(model, name, HARDEST[name], seed=3).coding.encode
    x = images(7, 1, 8, 8)
    together = code(x)
    assert torch.equal(together, torch.cat([code(x[:2]), code(x[2:])], dim=1))
    assert torch.equal(together.flip(1), code(x.flip(0)))
    assert torch.equal(together, corrupt(model, name, HARDEST[name], seed=3).coding.encode(x))
    other = corrupt(model, name, HARDEST[name], seed=4).coding.encode(x)
    assert torch.equal(together, other) == (name in ("blur", "contrast"))  # which are not random


def test_stronger_corruption_extends_a_weaker_one():
    x = images(5, 1, 9, 9)
    for change in (salt_and_pepper, spike_drop):
        weak, strong = (change(x, severity, random(x)) for severity in (0.2, 0.5))
        changed = weak != x
        assert torch.equal(strong[changed], weak[changed])
        assert (strong != x).sum() > changed.sum() > 0
    weak, strong = (gaussian_noise(x, sigma, random(x)) - x for sigma in (1e-3, 1e-2))
    inside = (x > 0.1) & (x < 0.9)
    torch.testing.assert_close(strong[inside], 10 * weak[inside], atol=1e-5, rtol=1e-2)


def test_corruptions_are_independent_and_compose():
    x = images(4, 1, 9, 9)
    assert not torch.equal(random(x, "a 0").uniform(x), random(x, "b 0").uniform(x))
    model = network(coding="temporal")
    both = corrupt(corrupt(model, "contrast", 0.5), "spike-drop", 0.3).coding.encode(x)
    dim = model.coding.encode(contrast(x, 0.5, random(x))).transpose(0, 1)
    expected = spike_drop(dim, 0.3, random(x, "spike-drop 0")).transpose(0, 1)
    assert torch.equal(both, expected)


def test_empty_batch():
    x = torch.empty(0, 1, 8, 8)
    for name in NAMES[:6]:
        code = corrupt(network(), name, HARDEST[name]).coding.encode(x)
        assert code.shape == (STEPS, 0, 1, 8, 8)
