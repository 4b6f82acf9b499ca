"""Corruptions of exact spike times.

There is no standard for the severities; these are ours.
"""

from __future__ import annotations

from torch import Tensor

from ...models.network import SpikingNetwork
from .corrupted_coding import coding_corruption, with_coding
from .corruptions import Corruption
from .sample_random import SampleRandom, traded

INF = float("inf")
MAX_DEVIATION = 10.0  # at which nothing of the times is left


def time_drop(times: Tensor, severity: float, random: SampleRandom) -> Tensor:
    """Drop each spike with probability p, the severity; `[B, 1, ..., S] -> [B, 1, ..., S]`."""
    return times.masked_fill(random.uniform(times) < severity, INF).sort(-1).values


def time_jitter(times: Tensor, severity: float, random: SampleRandom, window: float) -> Tensor:
    """t + σ w n, n ~ N(0, 1), at least 0; σ, in windows w of the code, is the severity."""
    moved = times + severity * window * random.normal(times).double()
    return moved.clamp(min=0).sort(-1).values


def time_shuffle(times: Tensor, severity: float, random: SampleRandom) -> Tensor:
    """Let spikes of a sample trade their times, each with probability p, the severity.

    Which addresses fire, and how often, stays; when each does is lost. `[B, 1, ..., S]`
    """
    flat = times.flatten(1)
    trades = (random.uniform(flat) < severity) & flat.isfinite()
    found = flat.gather(1, traded(trades, random.uniform(flat)))
    return found.view_as(times).sort(-1).values


def with_time_jitter(model: SpikingNetwork, severity: float, seed: int = 0) -> SpikingNetwork:
    """Return the network with moved input spikes, see `time_jitter`."""
    window: float = model.coding.window  # type: ignore[attr-defined]

    def change(times: Tensor, level: float, random: SampleRandom) -> Tensor:
        return time_jitter(times, level, random, window)

    return with_coding(model, change, severity, f"time-jitter {seed}", of_spikes=True)


TIME_DROP = coding_corruption(
    "time-drop",
    time_drop,
    "share of the code's spikes that are lost",
    *(0.05, 0.1, 0.2, 0.3, 0.5),
    of_spikes=True,
    of_times=True,
)
TIME_JITTER = Corruption(
    with_time_jitter,
    "deviation of the shift of a spike, in windows of the code",
    (0.01, 0.02, 0.05, 0.1, 0.2),
    most=MAX_DEVIATION,
    of_spikes=True,
    of_times=True,
)
TIME_SHUFFLE = coding_corruption(
    "time-shuffle",
    time_shuffle,
    "share of the code's spikes that trade their times",
    *(0.1, 0.2, 0.5, 1.0),
    of_spikes=True,
    of_times=True,
)
