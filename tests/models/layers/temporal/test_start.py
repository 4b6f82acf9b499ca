"""Membranes that start from the last input, beside a loop over the equations."""

import pytest
import torch

from asnn.core import ConfigError
from asnn.measure.cost.operations import Operations
from asnn.models import create_model, use_kernels
from asnn.models.layers.temporal import StartedSpikes
from asnn.models.neurons.integrate import Integrate
from asnn.models.neurons.leaky import AdaptiveLeaky

STEPS, CHANNELS = 4, 16


def _layer() -> StartedSpikes:
    torch.manual_seed(0)
    neuron = AdaptiveLeaky(STEPS, CHANNELS, granularity="channel", learn_reset_size=True)
    with torch.no_grad():
        for parameter in neuron.parameters():
            parameter.mul_(0.5 + torch.rand_like(parameter))
    return StartedSpikes(None, neuron)


def _by_hand(neuron: AdaptiveLeaky, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    p, spikes = neuron.step_parameters(), []
    assert p.reset_size is not None
    for t in range(STEPS):
        leak, gain, r = (each[t].view(-1, 1, 1) for each in (p.leak, p.gain, p.reset_size))
        v = leak * v + gain * x[t]
        s = (v / r > p.threshold).to(x.dtype)
        v = v - s * r
        spikes.append(s)
    return torch.stack(spikes)


@pytest.mark.parametrize("kernels", ["auto", "reference"])
def test_the_membrane_starts_from_the_last_input(kernels: str) -> None:
    layer = _layer()
    use_kernels(layer, kernels)
    x = 2 * torch.randn(STEPS, 2, CHANNELS, 3, 3, generator=torch.Generator().manual_seed(1))
    neuron = layer.spikes.neuron
    assert isinstance(neuron, AdaptiveLeaky)
    with torch.no_grad():
        out = layer(x)
        assert torch.equal(out, _by_hand(neuron, x, x[-1]))
        # Negative control: from rest the spikes are others.
        assert not torch.equal(out, _by_hand(neuron, x, torch.zeros_like(x[-1])))


def test_its_gradient_is_that_of_the_last_input_too() -> None:
    x = torch.randn(STEPS, 2, CHANNELS, 3, 3).requires_grad_()
    first = torch.autograd.grad(_layer()(x)[0].sum(), x)[0]
    assert first[0].abs().sum() > 0
    assert first[-1].abs().sum() > 0
    assert first[1:-1].abs().sum() == 0


def test_other_neurons_are_refused() -> None:
    with pytest.raises(ConfigError, match="membranes of Integrate do not start from the last"):
        StartedSpikes(None, Integrate(STEPS))


def test_its_products_are_counted_at_the_first_step() -> None:
    model = create_model(
        "spiking-yolo", in_shape=(1, 8, 8), classes=6, coding="direct", steps=STEPS,
        widths=[2], start="last-input",
    ).eval()  # fmt: skip
    with torch.no_grad(), Operations(model) as operations:
        model(torch.rand(3, 1, 8, 8))
    counts = operations.counts()
    assert not counts.uncounted
    start = next(each for each in counts.layers if each.name == "spikes1.start")
    assert start.operation == "mac"
    assert start.effective.tolist() == [3 * 2 * 4 * 4, 0, 0, 0]
