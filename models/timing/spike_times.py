"""Spike times as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Events(NamedTuple):
    """The spikes of B samples in the order of time.

    Attributes:
        times: `[B, E]`, ascending, +inf behind the last; simultaneous ones in the order of sources.
        source: the neuron of each, int64 `[B, E]`; behind the last any.
        place: where each stands in `[N · S]`, int64 `[B, E]`; behind the last any.
        number: of spikes of each sample, int64 `[B]`.
    """

    times: Tensor
    source: Tensor
    place: Tensor
    number: Tensor


@dataclass(frozen=True, eq=False)
class SpikeTimes:
    """The times at which N neurons fire, at most S times each.

    Attributes:
        times: `[B, N, S]`, ascending, +inf behind the last spike.

    >>> inf = float("inf")
    >>> spikes = SpikeTimes(torch.tensor([[[0.5, 2.0], [1.0, inf], [inf, inf]]]))
    >>> spikes.count.tolist(), spikes.first.tolist(), spikes.events().source.tolist()
    ([[2, 1, 0]], [[0.5, 1.0, inf]], [[0, 1, 0]])
    """

    times: Tensor

    @property
    def count(self) -> Tensor:
        """The number of spikes of each neuron, int64 `[B, N]`."""
        return self.times.isfinite().sum(-1)

    @property
    def first(self) -> Tensor:
        """The time of the first spike of each neuron, `[B, N]`; +inf without one."""
        if self.times.shape[-1] == 0:
            return self.times.new_full(self.times.shape[:-1], float("inf"))
        return self.times[..., 0]

    @torch.no_grad()
    def events(self) -> Events:
        """Return all spikes in the order of time; E is the greatest number in a sample."""
        batch, _, most = self.times.shape
        flat = self.times.flatten(1)
        spikes = flat.isfinite()
        count = spikes.sum(1)
        longest = int(count.max()) if batch and flat.shape[1] else 0
        # Most places are empty where S > 1: sorted are the spikes alone.
        sample, place_of_spike = spikes.nonzero(as_tuple=True)
        rank = (spikes.cumsum(1) - 1)[spikes]
        place = torch.zeros(batch, longest, dtype=torch.long, device=flat.device)
        place[sample, rank] = place_of_spike
        times = flat.new_full((batch, longest), float("inf"))
        times[sample, rank] = flat[spikes]
        times, order = times.sort(dim=1, stable=True)
        place = place.gather(1, order)
        return Events(times, place // max(most, 1), place, count)
