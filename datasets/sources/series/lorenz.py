"""The Lorenz system: a chaotic trajectory in windows, generated."""

from __future__ import annotations

import numpy as np
import torch

from ....coding.samples import SampleSpec
from ....core.errors import ConfigError
from ...base import Source, Split

SIGMA, RHO, BETA = 10.0, 28.0, 8 / 3
VALIDATION, TEST = 10, 20
"""Windows for validation and for the test."""
TRANSIENT = 5.0
"""Time before the first window, in which a trajectory reaches the attractor."""
SUBSTEPS = 10
"""Steps of the integration between two samples."""

State = tuple[float, float, float]


def load_lorenz(
    *, windows: int = 40, steps: int = 50, dt: float = 0.01, noise: float = 0.0, seed: int = 0
) -> Source:
    """Return windows of a trajectory, `[N, T, 3]`, whose targets are the windows themselves:

        x' = σ (y - x),   y' = x (ρ - z) - y,   z' = x y - β z        σ = 10, ρ = 28, β = 8/3

    The windows of a part follow each other without gaps; validation (10) and test (20) have
    trajectories of their own. Runge-Kutta's method of fourth order makes ten steps of a sample.

    Args:
        windows: for training.
        steps: T of a window.
        dt: time between two samples, at most 0.05.
        noise: deviation of Gaussian noise on the samples, relative to that of each variable.
        seed: of all trajectories; it is not the seed of a training.

    Raises:
        ConfigError: an option out of range.

    Source: Lorenz, 1963.
    """
    for key, value, least in (("windows", windows, 2), ("steps", steps, 2), ("seed", seed, 0)):
        if not least <= value < 2**32:
            raise ConfigError(f"data.{key} must be {least} or more, not {value}")
    if not 0 < dt <= 0.05:
        raise ConfigError(
            f"data.dt must be above 0 and at most 0.05, not {dt}",
            why="the trajectory turns in less than a unit of time",
        )
    if not 0 <= noise < float("inf"):
        raise ConfigError(f"data.noise must be 0 or more, not {noise}")
    # Its stream is frozen for all versions of NumPy.
    random = np.random.RandomState(seed)
    parts = []
    for count in (windows, VALIDATION, TEST):
        start = random.uniform((-10, -10, 15), (10, 10, 35))
        x = trajectory(start, count * steps, dt)
        x = x + noise * x.std(0) * random.standard_normal(x.shape)
        series = torch.from_numpy(x.astype(np.float32)).unflatten(0, (count, steps))
        parts.append(Split(series, series.clone()))
    train, validation, test = parts
    spec = SampleSpec("series", (3,), steps=steps)
    return Source(train, test, [], validation=validation, spec=spec)


def trajectory(start: np.ndarray, samples: int, dt: float) -> np.ndarray:
    """Return the samples of a trajectory after its transient, `[samples, 3]`."""
    h = dt / SUBSTEPS
    s: State = (float(start[0]), float(start[1]), float(start[2]))
    skipped = round(TRANSIENT / dt)
    found = np.empty((samples, 3))
    for n in range(skipped + samples):
        if n >= skipped:
            found[n - skipped] = s
        for _ in range(SUBSTEPS):
            k1 = _slope(s)
            k2 = _slope(_moved(s, h / 2, k1))
            k3 = _slope(_moved(s, h / 2, k2))
            k4 = _slope(_moved(s, h, k3))
            mean = [a + 2 * b + 2 * c + d for a, b, c, d in zip(k1, k2, k3, k4, strict=True)]
            s = _moved(s, h / 6, (mean[0], mean[1], mean[2]))
    return found


def _moved(s: State, h: float, k: State) -> State:
    return s[0] + h * k[0], s[1] + h * k[1], s[2] + h * k[2]


def _slope(s: State) -> State:
    x, y, z = s
    return SIGMA * (y - x), x * (RHO - z) - y, x * y - BETA * z
