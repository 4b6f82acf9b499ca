"""Surrogate gradients against those of snnTorch and against their formulas, value by value."""

import functools
import math
import pickle
import statistics

import pytest
import snntorch.surrogate
import torch

from asnn.core import ConfigError
from asnn.kernels.rules import SURROGATES
from asnn.models import spike

NAMES = ["sigmoid", "atan", "triangular", "fast_sigmoid", "gaussian", "hat", "lorentzian"]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
ALPHAS = [None, 0.5, 3.0]

THEIRS = {
    "sigmoid": lambda alpha: snntorch.surrogate.sigmoid(slope=alpha),
    "atan": lambda alpha: snntorch.surrogate.atan(alpha=alpha),
    "triangular": lambda alpha: snntorch.surrogate.triangular(threshold=alpha),
    "fast_sigmoid": lambda alpha: snntorch.surrogate.fast_sigmoid(slope=alpha),
}
# arXiv 2408.12407 gives 4 for sigmoid, 2106.01862 10 for lorentzian; the others are snnTorch's own
# defaults.
DEFAULTS = {
    "sigmoid": 4.0, "atan": 2.0, "triangular": 1.0, "fast_sigmoid": 25.0, "gaussian": 2.5,
    "hat": 1.0, "lorentzian": 10.0,
}  # fmt: skip


def formula(name: str, u: float, alpha: float) -> float:
    if name == "sigmoid":
        s = 1 / (1 + math.exp(-alpha * u))
        return alpha * s * (1 - s)
    if name == "atan":
        return alpha / 2 / (1 + (math.pi / 2 * alpha * u) ** 2)
    if name == "triangular":
        return alpha if u < 0 else -alpha
    if name == "gaussian":
        return statistics.NormalDist(0, 1 / alpha).pdf(u)
    if name == "hat":
        return alpha * max(0.0, 1 - alpha * abs(u))
    if name == "lorentzian":
        return 1 / (1 + alpha * u * u)
    return 1 / (1 + alpha * abs(u)) ** 2


def grid(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.linspace(-2, 2, 81, dtype=torch.float64).to(dtype)  # 0 is among them


def gradient(function, u: torch.Tensor) -> torch.Tensor:
    u = u.clone().requires_grad_()
    # The incoming gradient is not 1, so that its omission would be noticed.
    (function(u) * 3).sum().backward()
    return u.grad


def test_all_surrogates_are_tested_here():
    assert list(SURROGATES) == NAMES


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_forward_is_a_strict_step_in_the_dtype(name, dtype):
    u = torch.tensor([-2.0, -1e-4, -0.0, 0.0, 1e-4, 2.0], dtype=dtype)
    s = spike(u, name)
    assert s.dtype == dtype
    assert s.tolist() == [0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("name", NAMES)
def test_gradient_equals_the_formula(name, alpha):
    used = DEFAULTS[name] if alpha is None else alpha
    found = gradient(lambda u: spike(u, name, alpha), grid())
    expected = [3 * formula(name, u, used) for u in grid().tolist()]
    assert found.tolist() == pytest.approx(expected, rel=1e-12)
    off = [3 * formula(name, u, used * 1.01) for u in grid().tolist()]
    assert found.tolist() != pytest.approx(off, rel=1e-12)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("name", THEIRS)
def test_gradient_equals_snntorchs(name, alpha):
    theirs = THEIRS[name](DEFAULTS[name] if alpha is None else alpha)
    u = grid(torch.float32)
    assert torch.equal(spike(u, name, alpha), theirs(u))
    torch.testing.assert_close(
        gradient(lambda u: spike(u, name, alpha), u), gradient(theirs, u), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_gradient_keeps_dtype_and_stays_finite(name, dtype):
    u = torch.tensor([-60000.0, -100.0, -0.1, 0.0, 0.1, 100.0, 60000.0], dtype=dtype)
    found = gradient(lambda u: spike(u, name), u)
    assert found.dtype == dtype
    assert found.isfinite().all()


def test_snntorchs_sigmoid_overflows_where_ours_does_not():
    # The reason why ours is written with σ and not with exp; a control of the test above.
    u = torch.tensor([-100.0])
    assert gradient(THEIRS["sigmoid"](4.0), u).isnan().all()
    assert gradient(lambda u: spike(u, "sigmoid", 4.0), u).tolist() == pytest.approx([0])


def test_sigmoid_is_the_default():
    assert torch.equal(
        gradient(spike, grid()), gradient(lambda u: spike(u, "sigmoid", 4.0), grid())
    )


@pytest.mark.parametrize("name", NAMES)
def test_spike_can_be_pickled(name):
    function = functools.partial(spike, surrogate=name)
    copy = pickle.loads(pickle.dumps(function))
    assert torch.equal(gradient(copy, grid()), gradient(function, grid()))


def test_unknown_surrogate():
    with pytest.raises(ConfigError) as caught:
        spike(torch.zeros(1), "sigmoyd")
    assert str(caught.value) == (
        "unknown surrogate 'sigmoyd': choose from sigmoid, atan, triangular, fast_sigmoid, "
        "gaussian, hat, lorentzian"
    )
    assert caught.value.remedy == "did you mean 'sigmoid'?"
