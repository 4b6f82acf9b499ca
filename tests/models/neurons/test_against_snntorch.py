"""At constant schedules the neuron is `snntorch.Leaky(reset_delay=False)`."""

import pytest
import snntorch
import snntorch.surrogate
import torch

from asnn.models import AdaptiveLeaky

SURROGATES = {
    "sigmoid": snntorch.surrogate.sigmoid(slope=4),
    "atan": snntorch.surrogate.atan(alpha=2),
    "triangular": snntorch.surrogate.triangular(threshold=1),
    "fast_sigmoid": snntorch.surrogate.fast_sigmoid(slope=25),
}


def inputs(steps: int = 12) -> torch.Tensor:
    # At most 1, so that with β < 1 no membrane is above the threshold after its reset.
    x = torch.rand(steps, 5, 7, generator=torch.Generator().manual_seed(0))
    return x * 1.6 - 0.6


def theirs(x, *, beta, reset, surrogate="sigmoid", delay=False):
    neuron = snntorch.Leaky(
        beta=beta,
        threshold=1.0,
        spike_grad=SURROGATES[surrogate],
        reset_mechanism=reset,
        reset_delay=delay,
    )
    mem, spikes = neuron.init_leaky(), []
    for step in x:
        s, mem = neuron(step, mem)
        spikes.append(s)
    return torch.stack(spikes)


def ours(x, *, beta, reset, surrogate="sigmoid"):
    steps = len(x)
    neuron = AdaptiveLeaky(steps, leak=beta, gain=1.0, reset=reset, surrogate=surrogate)
    return neuron(x)


def with_gradient(function, x, **options):
    """Spikes, and the gradient of a weighted sum of them with respect to the input."""
    x = x.clone().requires_grad_()
    spikes = function(x, **options)
    weights = torch.randn(spikes.shape, generator=torch.Generator().manual_seed(1))
    (spikes * weights).sum().backward()
    return spikes.detach(), x.grad


@pytest.mark.parametrize("surrogate", list(SURROGATES))
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
def test_spikes_are_equal_and_gradients_agree(beta, reset, surrogate):
    options = {"beta": beta, "reset": reset, "surrogate": surrogate}
    spikes, gradient = with_gradient(ours, inputs(), **options)
    expected, expected_gradient = with_gradient(theirs, inputs(), **options)
    if beta > 0:
        assert 0.02 < expected.mean() < 0.9  # so that the comparison covers both
    assert torch.equal(spikes, expected)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_a_delayed_reset_is_another_neuron(reset):
    spikes, gradient = with_gradient(ours, inputs(), beta=0.9, reset=reset)
    late, late_gradient = with_gradient(theirs, inputs(), beta=0.9, reset=reset, delay=True)
    # snnTorch's delayed reset is detached, and subtracts θ after the leak instead of before it;
    # zero is zero on either side of the leak.
    assert torch.equal(spikes, late) == (reset == "zero")
    assert not torch.allclose(gradient, late_gradient, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
def test_another_leak_is_another_neuron(reset):
    spikes, gradient = with_gradient(ours, inputs(), beta=0.9, reset=reset)
    other, other_gradient = with_gradient(theirs, inputs(), beta=0.85, reset=reset)
    assert not torch.equal(spikes, other)
    assert not torch.allclose(gradient, other_gradient, rtol=1e-6, atol=1e-6)


def test_documented_exception_a_membrane_above_the_threshold_after_its_reset():
    x = torch.tensor([[2.5], [0.0], [0.0]])
    # Ours, with β = 1: v = 5/2 fires and leaves 3/2, which fires and leaves 1/2.
    assert ours(x, beta=1.0, reset="subtract").flatten().tolist() == [1, 1, 0]
    # snnTorch takes θ from 3/2 before it compares, finds 1/2, and puts θ back afterwards.
    assert theirs(x, beta=1.0, reset="subtract").flatten().tolist() == [1, 0, 0]
