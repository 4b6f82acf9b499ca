"""Gradients of the neuron, compared with a float64 autograd reference.

The reference writes a spike as H(u) + f(u) - f(u) with gradients through the first f alone, where
f is the integral of the surrogate derivative: autograd then finds the derivative by itself.
"""

import math

import pytest
import torch

from asnn.models import AdaptiveLeaky


def hat_integral(u, a):
    """The integral of α max(0, 1 - α|u|)."""
    rising, falling = (1 + a * u).clamp(0, 1), (1 - a * u).clamp(0, 1)
    return torch.where(u < 0, rising.square() / 2, 1 - falling.square() / 2)


INTEGRALS = {
    "sigmoid": (4.0, lambda u, a: torch.sigmoid(a * u)),
    "atan": (2.0, lambda u, a: torch.atan(math.pi / 2 * a * u) / math.pi),
    "triangular": (1.0, lambda u, a: -a * u.abs()),
    "fast_sigmoid": (25.0, lambda u, a: u / (1 + a * u.abs())),
    "gaussian": (2.5, lambda u, a: torch.special.ndtr(a * u)),
    "hat": (1.0, hat_integral),
}


def reference_spike(u, surrogate):
    alpha, integral = INTEGRALS[surrogate]
    smooth = integral(u, alpha)
    return (u > 0).double() + smooth - smooth.detach()


def reference(x, leak, gain, threshold, size, reset, surrogate, *, detached=False):
    """The equations of docs/method.md, one step after the other."""

    def at(schedule, t):
        shape = (-1, *[1] * (x.dim() - 3))
        return schedule[t] if schedule.dim() == 1 else schedule[t].reshape(shape)

    v, spikes = torch.zeros_like(x[0]), []
    for t in range(len(x)):
        v = at(leak, t) * v + at(gain, t) * x[t]
        scaled = v if size is None else v / at(size, t)
        s = reference_spike(scaled - threshold, surrogate)
        fed_back = s.detach() if detached else s
        if reset == "subtract":
            v = v - fed_back * (threshold if size is None else at(size, t))
        elif reset == "zero":
            v = v * (1 - fed_back)
        spikes.append(s)
    return torch.stack(spikes)


def case(granularity, reset, surrogate, sized):
    """A neuron in float64 with random parameters, an input and weights of its spikes."""
    seeded = torch.Generator().manual_seed(0)
    neuron = AdaptiveLeaky(
        5,
        3,
        granularity=granularity,
        reset=reset,
        surrogate=surrogate,
        learn_threshold=True,
        learn_reset_size=sized,
    ).double()
    with torch.no_grad():
        for parameter in neuron.parameters():
            parameter.copy_(0.5 + torch.rand(parameter.shape, generator=seeded))
    x = torch.randn(5, 2, 3, 4, 4, generator=seeded, dtype=torch.float64) + 0.5
    weights = torch.randn(x.shape, generator=seeded, dtype=torch.float64)
    return neuron, x, weights


def gradients_of_both(granularity, reset, surrogate, sized, **control):
    neuron, x, weights = case(granularity, reset, surrogate, sized)
    mine = x.clone().requires_grad_()
    spikes = neuron(mine)
    (spikes * weights).sum().backward()
    found = {"x": mine.grad, **{name: p.grad for name, p in neuron.named_parameters()}}

    leaves = {name: p.detach().clone().requires_grad_() for name, p in neuron.named_parameters()}
    leaves["x"] = x.clone().requires_grad_()
    expected_spikes = reference(
        leaves["x"],
        leaves["leak"],
        leaves["gain"],
        leaves["threshold"],
        leaves.get("reset_size"),
        reset,
        surrogate,
        **control,
    )
    (expected_spikes * weights).sum().backward()
    torch.testing.assert_close(spikes, expected_spikes, rtol=0, atol=1e-12)
    assert 0.05 < spikes.mean() < 0.95
    return found, {name: leaf.grad for name, leaf in leaves.items()}


@pytest.mark.parametrize("surrogate", list(INTEGRALS))
@pytest.mark.parametrize("granularity", ["layer", "channel"])
@pytest.mark.parametrize(
    ("reset", "sized"), [("subtract", False), ("zero", False), ("none", False), ("subtract", True)]
)
def test_gradients_of_input_and_all_parameters(granularity, reset, sized, surrogate):
    found, expected = gradients_of_both(granularity, reset, surrogate, sized)
    assert set(found) == set(expected)
    assert ("reset_size" in found) == sized
    for name, gradient in expected.items():
        assert gradient.abs().sum() > 0
        torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize(
    ("reset", "sized"), [("subtract", False), ("zero", False), ("subtract", True)]
)
def test_the_comparison_fails_with_a_detached_reset(reset, sized):
    found, expected = gradients_of_both("layer", reset, "sigmoid", sized, detached=True)
    assert not torch.allclose(found["x"], expected["x"], rtol=1e-3, atol=1e-3)


def test_first_leak_has_no_gradient():
    # It multiplies the membrane before the first step, which is 0.
    found, _ = gradients_of_both("layer", "subtract", "sigmoid", False)
    assert found["leak"][0] == 0
    assert (found["leak"][1:] != 0).all()
