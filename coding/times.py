"""The code of exact times: a real number for each spike, instead of time steps."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..core.errors import ConfigError, DataError
from .base import Coding, Moments, check_images
from .samples import EventBatch, SampleSpec

MAX_BYTES = 2**30
"""Of the times of a batch of recordings."""


class Times(Coding):
    """Spike times in float64 for networks of exact times, `[1, B, C, H, W, S]`; +inf for no spike.

    A pixel x fires once, at t = window (1 - x): the brighter, the earlier. Of recordings each
    address has its own times, t = window t_µs / duration; S is the greatest number of events of an
    address in the batch.

    Args:
        steps: 1: there are no time steps.
        window: the time of a black pixel, or of the end of a recording.
        black: `silent` pixels of the value 0 do not fire, `late` ones fire at the end of the
            window.
        most: events of an address that are kept, the first ones; None for all.

    Raises:
        ConfigError: an option out of range.
    """

    name = "times"
    takes = frozenset({"image", "events"})
    gives_times = True

    def __init__(
        self,
        *,
        steps: int,
        window: float = 1.0,
        black: Literal["silent", "late"] = "silent",
        most: int | None = None,
    ) -> None:
        super().__init__(steps=steps)
        if steps != 1:
            raise ConfigError(
                f"the code times has no time steps, coding.steps is {steps}",
                why="its times are real numbers",
                remedy="set coding.steps=1",
            )
        if not 0 < window < float("inf"):
            raise ConfigError(f"window must be above 0 and finite, not {window}")
        if black not in ("silent", "late"):
            raise ConfigError(f"unknown value {black!r} of black", why="choose from silent, late")
        if most is not None and most < 1:
            raise ConfigError(f"most must be 1 or more, not {most}")
        self.window, self.black, self.most = window, black, most

    def step_shape(self, spec: SampleSpec) -> tuple[int, ...]:
        """Return (C, H, W, 1): of recordings the last axis is that of each batch."""
        return (*spec.shape, 1)

    def encode(self, x: Tensor | EventBatch) -> Tensor:
        if isinstance(x, EventBatch):
            return self._of_events(x).unsqueeze(0)
        check_images(x)
        values = x.double()
        times = self.window * (1 - values)
        if self.black == "silent":
            times = torch.where(values > 0, times, float("inf"))
        return times[None, ..., None]

    def decode(self, code: Tensor, moments: Moments | None = None) -> Tensor:
        """Return the value whose spike time is that of the first spike; 0 without a spike."""
        first = code[0, ..., 0]
        return torch.where(first.isfinite(), 1 - first / self.window, 0.0)

    def count_spikes(self, code: Tensor) -> Tensor:
        return code.isfinite().transpose(0, 1).flatten(1).sum(1, dtype=torch.float64)

    def _of_events(self, events: EventBatch) -> Tensor:
        """Return the times of each address in order, `[B, P, H, W, S]`.

        Raises:
            DataError: they take more than 1 GiB.
        """
        channels, height, width = events.shape
        places = channels * height * width
        pixel = (events.p if channels == 2 else 0) * height * width + events.y * width + events.x
        address, order = (events.sample * places + pixel).sort(stable=True)
        number = torch.arange(len(address), device=events.device)
        rank = number - torch.searchsorted(address, address)
        if self.most is not None:
            kept = rank < self.most
            address, order, rank = address[kept], order[kept], rank[kept]
        most = int(rank.max()) + 1 if len(rank) else 1
        if events.size * places * most * 8 > MAX_BYTES:
            raise DataError(
                f"the times of {events.size} recordings do not fit into 1 GiB",
                why=f"an address has {most:,} events, so each of {places:,} gets as many places",
                remedy="set coding.most, such as 20, or a smaller train.batch_size",
            )
        t = self.window * events.t[order].double() / events.duration
        times = torch.full((events.size * places, most), float("inf"), dtype=torch.float64)
        times = times.to(events.device)
        times[address, rank] = t
        return times.view(events.size, channels, height, width, most)
