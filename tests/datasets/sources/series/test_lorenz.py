"""The Lorenz system: a trajectory against SciPy's integrator."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from asnn.core import ConfigError
from asnn.datasets.sources.series.lorenz import load_lorenz


def lorenz(t, s):
    x, y, z = s
    return [10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z]


def test_windows_follow_the_equations_and_each_other():
    source = load_lorenz(windows=3, steps=50)
    x = source.train.inputs
    assert x.shape == (3, 50, 3) and x.dtype == torch.float32
    assert (len(source.validation), len(source.test)) == (10, 20)
    assert torch.equal(source.train.targets, x)
    found = solve_ivp(
        lorenz, (0, 1.49), x[0, 0].double().numpy(), "DOP853", np.arange(150) * 0.01,
        rtol=1e-10, atol=1e-10,
    )  # fmt: skip
    # Rounding of the first sample to float32 grows with the trajectory.
    np.testing.assert_allclose(found.y.T, x.reshape(-1, 3).numpy(), rtol=0, atol=1e-3)


def test_parts_and_seeds_are_trajectories_of_their_own():
    one, again, other = (load_lorenz(windows=2, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.train.inputs, again.train.inputs)
    starts = [each.inputs[0, 0] for each in (one.train, one.validation, one.test, other.train)]
    assert min(float((a - b).abs().max()) for a in starts for b in starts if a is not b) > 0.1


def test_noise_is_relative_to_the_deviation():
    clean, noisy = load_lorenz(), load_lorenz(noise=0.05)
    found = (noisy.train.inputs - clean.train.inputs).std((0, 1))
    expected = 0.05 * clean.train.inputs.std((0, 1))
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0)


@pytest.mark.parametrize(
    "options, match",
    [
        ({"windows": 1}, "data.windows must be 2 or more"),
        ({"steps": 1}, "data.steps must be 2 or more"),
        ({"dt": 0.1}, "data.dt must be above 0 and at most 0.05, not 0.1"),
        ({"noise": -1.0}, "data.noise must be 0 or more"),
        ({"seed": -1}, "data.seed must be 0 or more"),
    ],
)
def test_refusals(options, match):
    with pytest.raises(ConfigError, match=match):
        load_lorenz(**options)
