"""The noise task: a faint sign in noise, without network and files."""

from __future__ import annotations

import numpy as np
import torch

from ....coding.samples import SampleSpec
from ....core.errors import ConfigError
from ...base import Source, Split

SIGNAL = 0.05
"""Absolute value of the mean of a sequence."""
NOISE = (0.05, 0.25)
"""Bounds of the deviation of its noise."""
VALIDATION, TEST = 5_000, 20_000


def load_noise_task(*, samples: int = 51_200, steps: int = 40, seed: int = 0) -> Source:
    """Return sequences of a faint sign in noise, `[N, T, 1]`, and the sign as label 0 or 1:

        x_t = ±0.05 + σ ε_t,    ε_t ~ N(0, 1),    σ ~ U(0.05, 0.25) of the sequence

    The sign of the sum of the first n steps is the best answer after them, whatever σ, and is right
    with the probability E_σ Φ(√n 0.05 / σ): 96.9 % after 40 steps. See `ceiling`. There are 5,000
    validation and 20,000 test sequences.

    Args:
        samples: sequences for training.
        steps: T.
        seed: of all of them; it is not the seed of a training.

    Raises:
        ConfigError: an option out of range.

    Source: the task "noise vs signal" of github.com/NeuromorphicComputing/RankCoding, after
    arXiv 2110.02865.
    """
    for key, value, least in (("samples", samples, 2), ("steps", steps, 1), ("seed", seed, 0)):
        if not least <= value < 2**32:
            raise ConfigError(f"data.{key} must be {least} or more, not {value}")
    # Its stream is frozen for all versions of NumPy.
    random = np.random.RandomState(seed)
    parts = [_draw(random, count, steps) for count in (samples, VALIDATION, TEST)]
    spec = SampleSpec("series", (1,), steps=steps)
    train, validation, test = parts
    return Source(train, test, ["negative", "positive"], validation=validation, spec=spec)


def _draw(random: np.random.RandomState, count: int, steps: int) -> Split:
    labels = random.randint(0, 2, count)
    deviation = random.uniform(*NOISE, (count, 1))
    x = SIGNAL * (2 * labels[:, None] - 1) + deviation * random.standard_normal((count, steps))
    inputs = torch.from_numpy(x.astype(np.float32)).unsqueeze(-1)
    return Split(inputs, torch.from_numpy(labels.astype(np.int64)))


def ceiling(steps: int) -> float:
    """Return the greatest accuracy that is possible after so many steps, E_σ Φ(√n 0.05 / σ).

    >>> round(ceiling(40), 4)
    0.9693
    """
    from scipy.integrate import quad
    from scipy.stats import norm

    low, high = NOISE
    root = SIGNAL * np.sqrt(steps)
    return float(quad(lambda deviation: norm.cdf(root / deviation), low, high)[0] / (high - low))
