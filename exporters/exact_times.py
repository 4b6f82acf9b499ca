"""How far a form with time steps is from exact spike times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..models.network import SpikingNetwork
from ..models.timing.clocked import on_clock
from ..models.timing.layer import timing_layers
from .graph.ir import Array

MAX_SAMPLES = 64

# Spikes of each layer at steps of dt, `[T, B, ...]`, of a code and dt.
Trains = Callable[[Array, float], dict[str, Array]]


class ExactTimes(NamedTuple):
    """The network of exact times that a form with steps was made from.

    Attributes:
        network: in float64, in evaluation mode.
        dt: the step of the form.
    """

    network: SpikingNetwork
    dt: float


@dataclass(frozen=True)
class StepError:
    """The difference of a form with steps from exact times, over all neurons and samples.

    Attributes:
        dt: the step.
        equal_counts: share of the neurons that fire as often.
        mean: mean difference of their times, in units of the code.
        within: share of these times within 2 dt.
        spikes: how many times were compared.
    """

    dt: float
    equal_counts: float
    mean: float
    within: float
    spikes: int

    def __str__(self) -> str:
        return (
            f"dt = {self.dt:g}: {100 * self.equal_counts:.2f} % of the neurons fire as often; "
            f"their {self.spikes:,} spikes differ by {self.mean:.2g} on average, "
            f"{100 * self.within:.2f} % by at most 2 dt"
        )

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@torch.no_grad()
def step_error(
    exact: ExactTimes, images: Array, dt: float, trains: Trains | None = None
) -> StepError:
    """Compare spikes at steps of dt with exact ones, on the first 64 images.

    A layer that keeps fewer spikes on the clock, as the last one does of which only the first spike
    is read, is compared on those. Spikes after its window do not count.

    Args:
        exact: the network.
        images: `[N, C, H, W]`.
        dt: the step.
        trains: runs the form; by default the network on a clock, in torch.
    """
    images = images[:MAX_SAMPLES]
    clocked = on_clock(exact.network, dt)
    code = clocked.coding.encode(torch.from_numpy(images))
    found = _trains_of(clocked, code) if trains is None else trains(code.numpy(), dt)
    x = exact.network.coding.encode(torch.from_numpy(images))  # type: ignore[arg-type]
    equal, neurons, spikes, total, near = 0, 0, 0, 0.0, 0
    for name, layer in timing_layers(exact.network).items():
        x = layer(x)
        most = int(getattr(clocked.body, name).neuron.most)  # type: ignore[union-attr]
        train = torch.from_numpy(np.asarray(found[name])).flatten(2) > 0.5
        times = times_of(train, dt, layer.neuron.window, most)
        own = x[0].flatten(1, -2)[..., :most]
        same = times.isfinite().sum(-1) == own.isfinite().sum(-1)
        there = same.unsqueeze(-1) & own.isfinite()
        difference = (times[there] - own[there]).abs()
        equal, neurons = equal + int(same.sum()), neurons + same.numel()
        spikes, total = spikes + len(difference), total + float(difference.sum())
        near += int((difference <= 2 * dt * (1 + 1e-9)).sum())
    each = max(spikes, 1)
    return StepError(dt, equal / max(neurons, 1), total / each, near / each, spikes)


def times_of(train: Tensor, dt: float, window: float, most: int) -> Tensor:
    """Return the first spike times `[B, M, S]` up to the end of a window, of steps `[T, B, M]`."""
    t = torch.arange(len(train), dtype=torch.float64).mul(dt).view(-1, 1, 1)
    fires = train & (t <= window * (1 + 1e-9))
    silent = torch.full((most, *train.shape[1:]), float("inf"), dtype=torch.float64)
    times = torch.cat([torch.where(fires, t, float("inf")), silent])
    return times.sort(0).values[:most].movedim(0, -1)


def _trains_of(clocked: SpikingNetwork, code: Tensor) -> dict[str, Array]:
    found, x = {}, code
    for name, part in clocked.body.named_children():
        x = part(x)
        found[name] = x.numpy()
    return found
