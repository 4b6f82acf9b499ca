"""The range of activations, and the amplitude that it gives."""

import numpy as np
import pytest
import torch

from asnn.core import ConfigError
from asnn.models.neurons.integrate import MIN_AMPLITUDE, Integrate
from asnn.models.neurons.ranges import activation_range


def relu_values(count=5000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, generator=generator).relu() * 3


def test_maximum_and_quantile():
    a = relu_values()
    assert activation_range(a, "max", levels=4) == a.max()
    expected = np.quantile(a.numpy(), 0.999, method="inverted_cdf")
    assert float(activation_range(a, "quantile", levels=4)) == pytest.approx(float(expected))
    assert expected < float(a.max())


@pytest.mark.parametrize("levels, fraction", [(4, 1.0), (40, 1.0), (8, 0.5)])
def test_the_least_mean_square_by_trying_all(levels, fraction):
    """Against a search in NumPy, in float64, over the same 95 parts of the maximum."""
    a = relu_values().double().numpy()
    errors = {}
    for part in np.arange(100, 5, -1) / 100:
        limit = part * a.max()
        steps = np.floor(np.clip(a * levels / limit + 1 - fraction, 0, levels))
        errors[part] = ((a - steps * limit / levels) ** 2).mean()
    assert len(errors) == 95
    best = min(errors, key=errors.get)
    found = activation_range(torch.tensor(a), "mse", levels=levels, fraction=fraction)
    assert float(found) == pytest.approx(best * a.max())
    assert 0.06 < best < 1
    # Negative control: other levels have another optimum.
    other = activation_range(torch.tensor(a), "mse", levels=400, fraction=fraction)
    assert float(other) > float(found)


def test_rows_are_independent():
    rows = torch.stack([relu_values(seed=1), 7 * relu_values(seed=2), torch.zeros(5000)])
    for rule in ("max", "quantile", "mse"):
        found = activation_range(rows, rule, levels=8)
        for row, value in zip(rows, found, strict=True):
            assert value == activation_range(row, rule, levels=8)
        assert found[2] == 0


def test_the_amplitude_is_the_range_over_most():
    a = relu_values(6000).view(2, 10, 3, 100)
    neuron = Integrate(4, 3, most=5)
    neuron.calibrate(a, "max")
    assert float(neuron.amplitude) == pytest.approx(float(a.max()) / 5)
    neuron.calibrate(a, "mse")
    expected = activation_range(a.flatten(), "mse", levels=20) / 5
    assert neuron.amplitude == expected


def test_each_channel_has_its_own_range_and_a_silent_one_that_of_the_layer():
    a = relu_values(6000).view(2, 10, 3, 100).clone()
    a[:, :, 1] *= 10
    a[:, :, 2] = 0
    neuron = Integrate(4, 3, most=2, granularity="channel")
    neuron.calibrate(a, "max")
    expected = [float(a[:, :, 0].max()) / 2, float(a[:, :, 1].max()) / 2, float(a.max()) / 2]
    assert neuron.amplitude.tolist() == pytest.approx(expected)


def test_a_silent_layer_keeps_its_amplitude():
    neuron = Integrate(4, amplitude=0.7)
    neuron.calibrate(torch.zeros(1, 5, 3), "max")
    assert float(neuron.amplitude) == pytest.approx(0.7)


def test_a_learned_amplitude_is_calibrated_above_its_bound():
    neuron = Integrate(4, learn_amplitude=True)
    neuron.calibrate(torch.full((1, 5, 3), 1e-4), "max")
    assert float(neuron.raw_amplitude.detach()) == pytest.approx(MIN_AMPLITUDE)
    assert neuron.raw_amplitude.requires_grad


def test_the_mean_output_is_the_quantised_activation():
    """A calibrated neuron gives the activations of the ANN, up to V / T; an uncalibrated not."""
    a = relu_values(2000).view(1, 20, 100)
    steps = 64
    neuron, uncalibrated = (Integrate(steps, most=2, fraction=0.5) for _ in range(2))
    neuron.calibrate(a, "max")
    x = a.expand(steps, 20, 100)
    error = (neuron(x).mean(0) - a[0]).abs().max()
    assert float(error) <= 0.51 * float(neuron.amplitude) / steps
    # Negative control: its range is 2, and activations up to 10 are cut off.
    assert float((uncalibrated(x).mean(0) - a[0]).abs().max()) > 5


def test_what_cannot_be_calibrated():
    a = torch.rand(1, 5, 3)
    with pytest.raises(ConfigError, match="unknown rule of calibration 'mean'"):
        Integrate(4).calibrate(a, "mean")
    with pytest.raises(ConfigError, match="leak 0.9 and gain 1.0 cannot be calibrated") as caught:
        Integrate(4, leak=0.9).calibrate(a, "max")
    assert "train.calibrate=none" in caught.value.remedy
