"""Corruptions of series, before the code reads their steps.

There is no standard for the severities; these are ours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ...models.network import SpikingNetwork
from .corrupted_coding import coding_corruption, with_coding
from .corruptions import Corruption
from .sample_random import SampleRandom, traded

TAKES = frozenset({"series"})
MAX_DEVIATION = 100.0  # at which nothing of the series is left


def series_noise(x: Tensor, severity: float, random: SampleRandom, std: Tensor) -> Tensor:
    """x + s σ n, n ~ N(0, 1), with s the severity; `[B, T, F, ...] -> [B, T, F, ...]`.

    Args:
        x: the series.
        severity: s.
        random: of the samples.
        std: σ of each feature or channel, `[F]`.
    """
    deviation = severity * std.to(x).view(-1, *[1] * (x.dim() - 3))
    return (x + deviation * random.normal(x)).to(x.dtype)


def series_drop(x: Tensor, severity: float, random: SampleRandom) -> Tensor:
    """Set each step to 0 with probability p, the severity; `[B, T, ...] -> [B, T, ...]`."""
    lost = random.uniform(x[:, :, *[0] * (x.dim() - 2)]) < severity
    return x.masked_fill(lost.view(*lost.shape, *[1] * (x.dim() - 2)), 0)


def series_shuffle(x: Tensor, severity: float, random: SampleRandom) -> Tensor:
    """Let steps trade places at random, each with probability p, the severity; `[B, T, ...]`.

    Without the order, what a network makes of the single steps is left.
    """
    of_steps = x[:, :, *[0] * (x.dim() - 2)]
    order = traded(random.uniform(of_steps) < severity, random.uniform(of_steps))
    return x.gather(1, order.view(*order.shape, *[1] * (x.dim() - 2)).expand_as(x))


def with_series_noise(model: SpikingNetwork, severity: float, seed: int = 0) -> SpikingNetwork:
    """Return the network with noise on its series, in deviations of each feature.

    Those are of the training data, which the network keeps to normalise its input; 1 if
    `create_model` was not given them.

    Raises:
        ConfigError: the network does not know them.
    """
    std = torch.tensor(model.config["std"], dtype=torch.float64) if model.has_config else None
    spec = model.sample
    if std is None or (spec is not None and len(std) != spec.shape[0]):
        raise ConfigError(
            "the deviation of the series is not known",
            why="series-noise is measured in it, and the network has none for each feature",
            remedy="build the network by create_model with mean and std of the training data",
        )

    def change(x: Tensor, level: float, random: SampleRandom) -> Tensor:
        return series_noise(x, level, random, std)

    return with_coding(model, change, severity, f"series-noise {seed}")


SERIES_NOISE = Corruption(
    with_series_noise,
    "deviation of the noise, in deviations of the training data",
    (0.1, 0.2, 0.5, 1.0, 2.0),
    most=MAX_DEVIATION,
    takes=TAKES,
    of_values=True,
)
SERIES_DROP = coding_corruption(
    "series-drop",
    series_drop,
    "share of the steps that are set to 0",
    *(0.05, 0.1, 0.2, 0.3, 0.5),
    takes=TAKES,
)
SERIES_SHUFFLE = coding_corruption(
    "series-shuffle",
    series_shuffle,
    "share of the steps that trade places",
    *(0.1, 0.2, 0.5, 1.0),
    takes=TAKES,
)
