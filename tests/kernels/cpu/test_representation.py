"""The covariance of spikes by counting bits, and neurons with sums over time, against NumPy."""

import numpy as np
import pytest
import torch

from asnn.kernels.cpu.representation import (
    integrate,
    integrate_backward,
    norm_backward,
    spike_covariance,
)


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 640])
@pytest.mark.parametrize("channels", [8, 24, 256])
def test_the_covariance_of_spikes(rows, channels):
    generator = np.random.default_rng(rows + channels)
    values = generator.uniform(0.1, 3, channels)
    spikes = (generator.random((rows, channels)) < generator.random(channels)) * values
    spikes[:, 0], spikes[:, 1] = 0, values[1]  # always silent, always active
    found = spike_covariance(torch.tensor(spikes, dtype=torch.float32)).numpy()
    centred = spikes - spikes.mean(0)
    np.testing.assert_allclose(found, centred.T @ centred, rtol=2e-6, atol=2e-5)
    assert not found[0].any() and not found[1].any()


def test_what_are_no_spikes():
    spikes = torch.ones(100, 16)
    spikes[70, 3] = 0.5
    assert spike_covariance(spikes) is None
    assert spike_covariance(torch.ones(100, 12)) is None  # not a multiple of 8 channels
    spikes[70, 3] = 0
    assert spike_covariance(spikes) is not None


@pytest.mark.parametrize("leak, gain", [(1.0, 1.0), (0.8, 0.5)])
@pytest.mark.parametrize("seen, steps", [(1, 5), (5, 5), (1, 1)])
@pytest.mark.parametrize("rows, channels", [(7, 21), (40, 16)])
def test_neurons_and_their_gradient(rows, channels, seen, steps, leak, gain):
    generator = torch.Generator().manual_seed(rows)
    x = 4 * torch.randn(seen, rows, channels, generator=generator)
    *norm, by_channel = torch.rand(5, channels, generator=generator) + 0.2
    amplitude = by_channel if channels == 21 else torch.tensor([0.7])
    weights = torch.rand(2, steps, generator=generator) + 0.3
    options = {"fraction": 0.5, "leak": leak, "gain": gain, "slope": 1.3}
    all_of_it = (True, True, True)
    found = integrate(x, norm, amplitude, weights, **options, keep=all_of_it, in_place=False)
    nothing = (False, False, False)
    again = x.clone()
    other = integrate(again, norm, amplitude, weights, **options, keep=nothing, in_place=True)
    assert torch.equal(other.out, found.out) and other[1:] == (None, None, None)
    assert (other.out.data_ptr() == again.data_ptr()) == (seen == steps)
    mean, inverse, weight, bias = (each.double() for each in norm)
    amplitude = amplitude.double()
    normed = (x.double() - mean) * inverse
    y, v = normed * weight + bias, torch.zeros(rows, channels, dtype=torch.float64)
    of_steps = weights.double().view(2, steps, 1, 1)
    for t in range(steps):
        v = leak * v + gain * y[t % seen if seen == 1 else t]
        out = amplitude * (v > 0.5 * amplitude)
        v -= out
        assert torch.equal(found.out[t], out.float())
    torch.testing.assert_close(found.total, normed.sum(0).float(), rtol=1e-5, atol=1e-5)
    by_weight = (of_steps[1, :seen] * normed).sum(0)
    torch.testing.assert_close(found.weighted, by_weight.float(), rtol=1e-5, atol=1e-5)
    level = 1.3 * (of_steps[0, :seen] * y).sum(0)
    expected = (level > amplitude).int() - (level < 0).int()
    assert torch.equal(found.region.int(), expected) and len(expected.unique()) == 3

    grad = torch.randn(steps, rows, channels, generator=generator)
    of_mean = (of_steps[0] * grad.double()).sum(0)
    d = torch.where(expected == 0, 0.7 * of_mean, 0.0)
    above = torch.where(expected == 1, of_mean, 0.0).sum(0)
    for total in (found.total, None):
        got, sums = integrate_backward(grad, found.region, total, weights[0], slope=0.7)
        torch.testing.assert_close(got, d.float(), rtol=1e-5, atol=1e-6)
        with_total = (d * found.total).sum(0) if total is not None else torch.zeros(channels)
        whole = torch.stack([d.sum(0), with_total.double(), above]).float()
        torch.testing.assert_close(sums, whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rows, channels", [(7, 21), (40, 16)])
@pytest.mark.parametrize("of_input", ["none", "other", "same"])
def test_the_gradient_through_a_norm(rows, channels, of_input):
    generator = torch.Generator().manual_seed(channels)
    d, x = torch.randn(2, rows, channels, generator=generator)
    scale, total, through = torch.randn(3, channels, generator=generator)
    q, other = d.clone(), None
    if of_input != "none":
        other = q if of_input == "same" else torch.empty_like(d)
    norm_backward(q, scale, total, through, x, factor=0.2, of_input=other)
    expected = (d - total / len(d)) * scale
    if of_input != "same":
        torch.testing.assert_close(q, expected)
    if other is not None:
        torch.testing.assert_close(other, expected - 0.2 * through * x, rtol=1e-5, atol=1e-6)
