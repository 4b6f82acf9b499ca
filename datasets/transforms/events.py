"""Random changes of recordings of events, before they are binned."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Generator, Tensor

from ...coding.samples import EventBatch, SampleSpec
from ...core.errors import ConfigError
from .mixing import Targets, draw_weight
from .positions import Carry, mirrored, shifted, stay

MAX_STRETCH = 100.0
NUMBERS = 6
"""Numbers drawn for a recording: share dropped, x, y, flip, polarity, stretch."""


@dataclass(frozen=True)
class EventAugment:
    """Augmentation of recordings of events, in this order.

    All options but `mix` depend on the recording and its generator, not on the batch.

    Args:
        drop: leave out a share of the events uniform in [0, drop], each event independently.
        shift: move by whole pixels uniform in [-shift, shift] in x and in y; events that leave the
            sensor are left out. A sensor of one row or column moves along the other axis only.
        flip: mirror horizontally with probability 1/2.
        polarity_flip: exchange on and off with probability 1/2.
        stretch: multiply the times by a factor uniform in [1/(1 + stretch), 1 + stretch]. The code
            leaves out events after the duration.
        mix: replace the events in a window of time by those of another recording of the batch; the
            window is the same for the batch.
        mix_off_epoch: no `mix` from this epoch on, counted from 0.

    Attributes:
        moving: the options that move what a recording shows.
        keeping: the options after which targets of a kind are still right, carried along or not.

    Raises:
        ConfigError: a value out of range.

    Source: EventDrop, IJCAI 2021 (random drop); arXiv 2203.06145 (flips and shifts); arXiv
    2205.12054 (labels of mixed recordings weighted by their events).
    """

    moving: ClassVar[tuple[str, ...]] = ("flip", "shift")
    keeping: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "boxes": ("flip", "shift", "polarity_flip", "drop", "stretch"),
        "flow": ("flip", "shift", "polarity_flip", "drop"),
    }

    flip: bool = False
    shift: int = 0
    polarity_flip: bool = False
    drop: float = 0.0
    stretch: float = 0.0
    mix: bool = False
    mix_off_epoch: int | None = None

    def __post_init__(self) -> None:
        if self.shift < 0:
            raise ConfigError(f"shift is {self.shift}", why="it cannot be negative")
        if self.mix_off_epoch is not None and self.mix_off_epoch < 0:
            raise ConfigError(f"mix_off_epoch is {self.mix_off_epoch}", why="it cannot be negative")
        if not 0 <= self.drop <= 1:
            raise ConfigError(f"drop is {self.drop}", why="it is a share of the events, 0 to 1")
        if not 0 <= self.stretch <= MAX_STRETCH:
            raise ConfigError(f"stretch is {self.stretch}", why=f"it must be 0 to {MAX_STRETCH:g}")

    def check(self, spec: SampleSpec) -> None:
        """Refuse samples that an option does not fit.

        Raises:
            ConfigError: a shift beyond the sensor, or no polarity to exchange.
        """
        polarities, *sides = spec.shape
        # Along a side of one pixel nothing moves.
        shortest = min((side for side in sides if side > 1), default=1)
        if self.shift >= shortest:
            raise ConfigError(
                f"augment.shift is {self.shift}, the shorter side of the sensor {shortest} pixels",
                why="a recording could lose all its events",
                remedy=f"set augment.shift to less than {shortest}",
            )
        if self.polarity_flip and polarities == 1:
            raise ConfigError(
                "augment.polarity_flip exchanges on and off, the sensor has no polarity",
                remedy="leave augment.polarity_flip out",
            )

    def apply(
        self,
        x: EventBatch,
        y: Tensor,
        *,
        epoch: int,
        generator: Generator | None = None,
        samples: Iterable[Generator] = (),
        carry: Carry = stay,
    ) -> tuple[EventBatch, Targets]:
        """Return the changed recordings, and the targets for `y` `[B, ...]`.

        Args:
            x: B recordings.
            y: their targets.
            epoch: counted from 0.
            generator: for `mix`.
            samples: a generator for each recording.
            carry: moves the targets with shift and flip.
        """
        if len(x) and (self.drop or self.shift or self.flip or self.polarity_flip or self.stretch):
            x, y = self._changed(x, y, list(samples), carry)
        if not self.mix or (self.mix_off_epoch is not None and epoch >= self.mix_off_epoch):
            return x, Targets(y, y, 1.0)
        return mix(x, y, generator)

    def _changed(
        self, x: EventBatch, y: Tensor, samples: list[Generator], carry: Carry
    ) -> tuple[EventBatch, Tensor]:
        # All numbers are drawn, so that an option does not change those of another.
        drawn = [torch.rand(NUMBERS, generator=each, dtype=torch.float64) for each in samples]
        share, right, down, mirror, swap, stretch = torch.stack(drawn, 1)
        if self.drop:
            stays = [
                torch.rand(count, generator=each) >= self.drop * share[i]
                for i, (count, each) in enumerate(zip(x.counts().tolist(), samples, strict=True))
            ]
            x = x.kept(torch.cat(stays).to(x.device))
        if self.shift:
            offsets = [((2 * self.shift + 1) * u).long() - self.shift for u in (right, down)]
            right, down = (each.to(x.device) for each in offsets)
            x, y = shift(x, right, down), carry(y, shifted(right, down))
        if self.flip:
            chosen = (mirror < 0.5).to(x.device)
            x, y = flip(x, chosen), carry(y, mirrored(chosen, x.shape[2]))
        if self.polarity_flip:
            swapped = (swap < 0.5).to(x.device)[x.sample]
            x = replace(x, p=torch.where(swapped, 1 - x.p, x.p))
        if self.stretch:
            slowest = 1 / (1 + self.stretch)
            factor = slowest + (1 + self.stretch - slowest) * stretch
            times = x.t.double() * factor.to(x.device)[x.sample]
            x = replace(x, t=times.floor().long())
        return x, y


def shift(events: EventBatch, right: Tensor, down: Tensor) -> EventBatch:
    """Return the recordings moved by `right` and `down` `[B]` pixels, without what leaves.

    A sensor of one row or column does not move across it: it would lose all events.
    """
    _, height, width = events.shape
    x = events.x + right[events.sample] if width > 1 else events.x
    y = events.y + down[events.sample] if height > 1 else events.y
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return replace(events, x=x, y=y).kept(inside)


def flip(events: EventBatch, chosen: Tensor) -> EventBatch:
    """Return the recordings, mirrored horizontally where `chosen` `[B]` is true."""
    mirrored = events.shape[2] - 1 - events.x
    return replace(events, x=torch.where(chosen[events.sample], mirrored, events.x))


def mix(
    events: EventBatch, y: Tensor, generator: Generator | None = None
) -> tuple[EventBatch, Targets]:
    """Return recordings whose events in a window of time are those of recording π.

    The window has the share 1 - λ of the duration, λ ~ U(0, 1), at a uniform position; window and
    permutation π are those of the batch. The weight of the first target is the share of its events
    within the duration that are outside the window, over the batch.
    """
    length = (1 - draw_weight(None, generator)) * events.duration
    begin = math.floor((events.duration - length) * float(torch.rand((), generator=generator)))
    other = torch.randperm(len(events), generator=generator).to(events.device)
    mixed, weight = exchange(events, other, begin, begin + round(length))
    return mixed, Targets(y, y[other], weight)


def exchange(events: EventBatch, other: Tensor, begin: int, end: int) -> tuple[EventBatch, float]:
    """Return recordings with the events of recording `other` `[B]` in begin ≤ t < end, µs.

    `other` is a permutation. The second value is the share of the events that stay.
    """
    if not len(events.t):
        return events, 1.0
    inside = (events.t >= begin) & (events.t < end)
    # An event of recording π(b) in the window goes to b.
    sample = torch.where(inside, other.argsort()[events.sample], events.sample)
    times = events.t - events.t.min()
    order = (sample * (times.max() + 1) + times).argsort(stable=True)
    counted = events.t < events.duration
    total = int(counted.sum())
    weight = int((counted & ~inside).sum()) / total if total else 1.0
    return replace(events, sample=sample).kept(order), weight
