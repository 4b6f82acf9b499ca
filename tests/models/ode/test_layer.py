"""The layer of a linear differential equation against `solve_ode`."""

import pytest
import torch

from asnn.core import ConfigError
from asnn.models.ode.equations import solve_ode
from asnn.models.ode.layer import LeastSquaresOde


@torch.no_grad()
@pytest.mark.parametrize("start", ["zero", "learned", "input"])
def test_variables_are_those_of_the_equation(start):
    torch.manual_seed(0)
    layer = LeastSquaresOde(4, 3, order=3, start=start, step=0.5, smoothness=2.0).double()
    for parameter in (layer.coefficients, *([layer.initial] if start == "learned" else [])):
        parameter.add_(0.2 * torch.randn_like(parameter))
    x = torch.randn(6, 2, 4, dtype=torch.float64)
    drive = x @ layer.linear.weight.T + layer.linear.bias
    init = torch.zeros(1, 2, 3, 1, dtype=torch.float64)
    if start == "learned":
        init = init + layer.initial.view(1, 1, 3, 1)
    if start == "input":
        init = (x[:1] @ layer.first.weight.T + layer.first.bias).unsqueeze(3)
    c = layer.coefficients.expand(6, 2, -1, -1, -1)
    z = solve_ode(c, drive, init, 0.5, weights=layer.weights, kernels="reference")
    torch.testing.assert_close(layer(x), z[..., 0], rtol=1e-6, atol=1e-7)


def test_a_leaky_variable_relaxes_and_a_derivative_integrates():
    """Steps to 1: 1 - e^{-t / τ}, and t."""
    t = torch.arange(40) * 0.1
    for form, exact in (("leaky", 1 - (-t / 0.8).exp()), ("derivative", t)):
        layer = LeastSquaresOde(1, 1, form=form, tau=0.8, step=0.1, order=3, bias=False)
        with torch.no_grad():
            layer.linear.weight.fill_(1.0)
        found = layer(torch.ones(40, 1, 1)).detach().flatten()
        torch.testing.assert_close(found, exact, rtol=0, atol=0.01)


def test_everything_that_is_learned_has_a_gradient():
    layer = LeastSquaresOde(2, 2, start="learned", learn_step=True)
    layer(torch.randn(5, 3, 2)).square().sum().backward()
    learned = {name for name, p in layer.named_parameters() if p.grad is not None}
    assert learned == {"linear.weight", "linear.bias", "coefficients", "log_step", "initial"}
    assert all(p.grad.ne(0).any() for p in layer.parameters())
    assert [p.shape for p in layer.decaying_parameters()] == [(2, 2)]


def test_empty_batches():
    layer = LeastSquaresOde(2, 3)
    assert layer(torch.zeros(4, 0, 2)).shape == (4, 0, 3)


@pytest.mark.parametrize(
    "options, match",
    [
        ({"variables": 0}, "variables must be 1 or more"),
        ({"order": 1}, "order must be 2 to 6, not 1"),
        ({"start": "data"}, "unknown start 'data'"),
        ({"form": "euler"}, "unknown form"),
        ({"tau": 0.0}, "tau must be above 0"),
        ({"step": float("inf")}, "step must be above 0"),
    ],
)
def test_refusals(options, match):
    with pytest.raises(ConfigError, match=match):
        LeastSquaresOde(2, **{"variables": 2, **options})
