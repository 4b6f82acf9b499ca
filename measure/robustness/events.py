"""Corruptions of events, before the code bins them.

There is no standard for the severities; these are ours.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Generator, Tensor

from ...coding.samples import COLUMNS, EventBatch
from ...models.network import SpikingNetwork
from .corrupted_coding import coding_corruption, with_coding
from .corruptions import Corruption
from .sample_random import SampleRandom

TAKES = frozenset({"events"})
TICK = 1_000
"""µs between two events of a hot pixel."""

MAX_NOISE = 10.0
"""Times the events of a recording, at which it is lost among noise."""

MAX_HOT = 0.1
"""Of the pixels: a hot one adds 1,000 events each second, which have to fit into memory."""

MAX_JITTER = 10_000.0  # ms


def event_drop(events: EventBatch, severity: float, random: SampleRandom) -> EventBatch:
    """Lose each event with probability p, the severity."""
    return events.kept(random.rows(events.counts(), _uniform) >= severity)


def event_noise(events: EventBatch, severity: float, random: SampleRandom) -> EventBatch:
    """Add round(s n) events to a recording of n, with s the severity.

    Their time, pixel and polarity are independent and uniform.
    """
    counts = (severity * events.counts().double()).round().long()
    u = random.rows(counts, lambda count, generator: _uniform(count, generator, 4))
    polarities, height, width = events.shape
    t, x, y, p = (
        (u[:, i] * size).long().clamp(max=size - 1)
        for i, size in enumerate((events.duration, width, height, polarities))
    )
    sample = torch.repeat_interleave(torch.arange(events.size, device=counts.device), counts)
    return _merged(events, replace(events, t=t, x=x, y=y, p=p, sample=sample))


def event_jitter(events: EventBatch, severity: float, random: SampleRandom) -> EventBatch:
    """Move each event by s n ms, n ~ N(0, 1), clamped to [0, duration); s is the severity.

    Events after the duration, which a code may leave out, are not moved.
    """
    shift = (1_000 * severity * random.rows(events.counts(), _normal)).round().long()
    moved = (events.t + shift).clamp(0, events.duration - 1)
    return _sorted(replace(events, t=torch.where(events.t < events.duration, moved, events.t)))


def event_shuffle(events: EventBatch, severity: float, random: SampleRandom) -> EventBatch:
    """Let events of a recording trade their times, each with probability p, the severity.

    Where events are, and how many, stays; when each of them is is lost.
    """
    u = random.rows(events.counts(), lambda count, generator: _uniform(count, generator, 2))
    trades = (u[:, 0] < severity).nonzero().squeeze(1)
    by_key = trades[u[trades, 1].argsort()]
    given = by_key[events.sample[by_key].argsort(stable=True)]  # of the same recording
    return _sorted(replace(events, t=events.t.index_put((trades,), events.t[given])))


def polarity_drop(events: EventBatch, severity: float, random: SampleRandom) -> EventBatch:
    """Lose each off event with probability p, the severity."""
    u = random.rows(events.counts(), _uniform)
    return events.kept((events.p == 1) | (u >= severity))


def with_hot_pixels(model: SpikingNetwork, share: float, seed: int = 0) -> SpikingNetwork:
    """Return the network behind a sensor of which a share of the pixels fires once a millisecond.

    A defect of the sensor, not of a recording: pixels and the polarity of each are drawn from the
    seed, are the same for all recordings, and include those of any smaller share.
    """

    def change(events: EventBatch, severity: float, random: SampleRandom) -> EventBatch:
        return hot_pixels(events, severity, seed)

    return with_coding(model, change, share, f"hot-pixels {seed}")


def hot_pixels(events: EventBatch, share: float, seed: int = 0) -> EventBatch:
    """Add events of round(s H W) pixels at 0, 1, 2, ... ms; s is the share."""
    polarities, height, width = events.shape
    generator = Generator().manual_seed(seed)
    order = torch.randperm(height * width, generator=generator)
    polarity = torch.randint(polarities, (height * width,), generator=generator)
    pixel = order[: round(share * len(order))]
    added = torch.cartesian_prod(
        torch.arange(events.size), torch.arange(0, events.duration, TICK), pixel
    ).to(events.device)
    sample, t, pixel = added.unbind(1)
    p = polarity.to(events.device)[pixel]
    return _merged(
        events, replace(events, t=t, x=pixel % width, y=pixel // width, p=p, sample=sample)
    )


def _uniform(count: int, generator: Generator, *columns: int) -> Tensor:
    return torch.rand(count, *columns, generator=generator, dtype=torch.float64)


def _normal(count: int, generator: Generator) -> Tensor:
    return torch.randn(count, generator=generator, dtype=torch.float64)


def _merged(events: EventBatch, added: EventBatch) -> EventBatch:
    columns = {name: torch.cat([getattr(events, name), getattr(added, name)]) for name in COLUMNS}
    return _sorted(replace(events, **columns))


def _sorted(events: EventBatch) -> EventBatch:
    """Return the events by recording, then by time; those of equal time keep their order."""
    by_time = events.t.argsort(stable=True)
    order = by_time[events.sample[by_time].argsort(stable=True)]
    return replace(events, **{name: getattr(events, name)[order] for name in COLUMNS})


EVENT_DROP = coding_corruption(
    "event-drop",
    event_drop,
    "share of the events that are lost",
    *(0.1, 0.2, 0.3, 0.5, 0.7),
    takes=TAKES,
)
EVENT_NOISE = coding_corruption(
    "event-noise",
    event_noise,
    "number of random events, as a share of the recording's own",
    *(0.05, 0.1, 0.2, 0.5, 1.0),
    most=MAX_NOISE,
    takes=TAKES,
)
POLARITY_DROP = coding_corruption(
    "polarity-drop",
    polarity_drop,
    "share of the off events that are lost",
    *(0.1, 0.2, 0.5, 1.0),
    takes=TAKES,
)
EVENT_SHUFFLE = coding_corruption(
    "event-shuffle",
    event_shuffle,
    "share of the events that trade their times",
    *(0.1, 0.2, 0.5, 1.0),
    takes=TAKES,
)
HOT_PIXELS = Corruption(
    with_hot_pixels,
    "share of the pixels that fire once a millisecond",
    (0.001, 0.002, 0.005, 0.01, 0.02),
    most=MAX_HOT,
    takes=TAKES,
)
EVENT_JITTER = coding_corruption(
    "event-jitter",
    event_jitter,
    "deviation of the shift of an event, in ms",
    *(1, 2, 5, 10, 20),
    most=MAX_JITTER,
    takes=TAKES,
)
