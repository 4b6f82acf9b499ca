"""Neurons whose membrane is solved by least squares."""

import numpy as np
import pytest
import torch

from asnn.core import ConfigError
from asnn.models.neurons.lsq_leaky import LsqLeaky
from asnn.models.ode.equations import solve_ode


def exact_membrane(x, tau):
    """u + τ u' = x, u(0) = 0, with x linear between the steps, in closed form."""
    u, decay = np.zeros(len(x)), np.exp(-1 / tau)
    for t in range(1, len(x)):
        slope = x[t] - x[t - 1]
        u[t] = decay * (u[t - 1] - x[t - 1] + slope * tau) + x[t] - slope * tau
    return u


def error(neuron, x, tau):
    u = neuron.membrane(torch.from_numpy(x).view(-1, 1, 1)).detach().flatten().numpy()
    exact = exact_membrane(x, tau)
    return np.linalg.norm(u - exact) / np.linalg.norm(exact)


def inputs(steps=400, seed=0):
    spikes = (np.random.default_rng(seed).random(steps) < 0.1).astype(float)
    filtered = np.zeros(steps)
    for t in range(1, steps):
        filtered[t] = np.exp(-1 / 5) * filtered[t - 1] + spikes[t] / 5
    return spikes, filtered


def test_the_membrane_is_near_the_exact_solution():
    neuron = LsqLeaky(400, tau=20.0)
    spikes, filtered = inputs()
    assert error(neuron, filtered, 20.0) < 0.004
    assert error(neuron, spikes, 20.0) < 0.015
    assert error(neuron, filtered, 10.0) > 0.1  # negative control: another τ


@pytest.mark.parametrize("granularity", ["layer", "channel"])
@pytest.mark.parametrize("shape", [(7, 2, 3), (5, 2, 3, 2, 2)])
@pytest.mark.filterwarnings("ignore:lsq-leaky with a time constant")
def test_membranes_are_those_of_the_equation(granularity, shape):
    torch.manual_seed(0)
    for schedule in ("shared", "per-step"):
        neuron = LsqLeaky(8, 3, granularity=granularity, schedule=schedule, smoothness=0.5)
        with torch.no_grad():
            neuron.log_tau.add_(0.3 * torch.randn_like(neuron.log_tau))
        x = torch.randn(shape, dtype=torch.float64)
        steps = shape[0]
        tau = neuron.tau.double().detach().expand(8, 3)[:steps]
        for channel in range(3):
            rows = x[:, :, channel].flatten(1).unsqueeze(2)
            own = tau[:, channel].view(-1, 1, 1, 1)
            c = torch.stack([torch.ones_like(own), own], 4)
            rest = torch.zeros(1, rows.shape[1], 1, 1)
            weights = neuron.weights
            u = solve_ode(c, rows, rest, 1.0, weights=weights, kernels="reference")[..., 0, 0]
            found = neuron.membrane(x)[:, :, channel].flatten(1)
            torch.testing.assert_close(found, u, rtol=1e-9, atol=1e-10)


def test_spikes_and_their_gradients():
    neuron = LsqLeaky(6, tau=1.5, threshold=0.3, surrogate="atan")
    x = torch.rand(6, 2, 4, requires_grad=True)
    s = neuron(x)
    assert torch.equal(s, (neuron.membrane(x) > 0.3).float())
    assert 0 < s.mean() < 1 and not s[0].any()
    s.sum().backward()
    assert x.grad.ne(0).all() and neuron.log_tau.grad.ne(0).all()


@pytest.mark.slow
def test_gradient_of_tau_and_input():
    neuron = LsqLeaky(5, 2, granularity="channel").double()
    x = torch.randn(5, 2, 2, dtype=torch.float64, requires_grad=True)

    def membrane(x, log_tau):
        return torch.func.functional_call(_Membrane(neuron), {"neuron.log_tau": log_tau}, (x,))

    start = neuron.log_tau.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(membrane, (x, start), rtol=1e-6, atol=1e-8)


class _Membrane(torch.nn.Module):
    def __init__(self, neuron):
        super().__init__()
        self.neuron = neuron

    def forward(self, x):
        return self.neuron.membrane(x)


def test_fewer_steps_and_none():
    neuron = LsqLeaky(4)
    assert neuron(torch.ones(3, 1, 2)).shape == (3, 1, 2)
    assert neuron(torch.ones(1, 1, 2)).sum() == 0  # at the first step u is 0
    assert neuron(torch.ones(0, 1, 2)).shape == (0, 1, 2)


def test_refusals_and_the_warning():
    for options, match in (
        ({"tau": 0.0}, "tau must be above 0, not 0.0"),
        ({"smoothness": -1.0}, "smoothness must be above 0"),
        ({"threshold": float("nan")}, "threshold must be above 0"),
        ({"granularity": "neuron"}, "unknown granularity 'neuron'"),
        ({"schedule": "step"}, "unknown schedule"),
        ({"surrogate": "none"}, "unknown surrogate"),
        ({"granularity": "channel"}, "needs the number of channels"),
    ):
        with pytest.raises(ConfigError, match=match):
            LsqLeaky(4, **options)
    with pytest.warns(UserWarning, match=r"where it jumps the membrane is off by 6 to 10 %"):
        neuron = LsqLeaky(4, schedule="per-step")
    with pytest.raises(ConfigError, match="the input has 5 steps, the neuron time constants for 4"):
        neuron(torch.ones(5, 1, 2))
    with pytest.raises(ConfigError, match="time constants for 3 channels, the input 2"):
        LsqLeaky(4, 3, granularity="channel")(torch.ones(4, 1, 2))
