"""Spike times as a value."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.models.timing import SpikeTimes


@given(st.integers(0, 3), st.integers(0, 4), st.integers(0, 3), st.integers(0, 10**6))
@settings(deadline=None, max_examples=40)
def test_events_are_all_spikes_in_order(batch: int, neurons: int, most: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    times = torch.randint(0, 4, (batch, neurons, most), generator=random).double()
    times[times == 3] = float("inf")
    spikes = SpikeTimes(times.sort(2).values)
    events = spikes.events()
    for b in range(batch):
        pairs = [(float(t), n) for n in range(neurons) for t in spikes.times[b, n] if t < 3]
        pairs.sort()
        count = int(events.number[b])
        found = zip(
            events.times[b, :count].tolist(), events.source[b, :count].tolist(), strict=True
        )
        assert list(found) == pairs
        flat = spikes.times[b].flatten()
        assert torch.equal(flat[events.place[b, :count]], events.times[b, :count])
        assert spikes.count[b].tolist() == [int((row < 3).sum()) for row in spikes.times[b]]
        least = [float(row.min()) if most else float("inf") for row in spikes.times[b]]
        assert spikes.first[b].tolist() == least
