"""Counts a convolution over time, whose first and last steps fewer outputs read."""

from __future__ import annotations

from itertools import groupby

from torch import Tensor

from ...models.layer import onsets
from ...models.layers.stem import Stem
from ...models.layers.temporal import TapConv2d
from .counters import LayerCounter
from .fan_out import FanOut


class TapCounter(LayerCounter):
    """Counts a convolution over time.

    An input of step t is read by each tap k whose output is within the T steps,

        fan_out_{t,i} = Σ_k [0 ≤ t - offset_k < T] Σ_o [w_{o,k,i} ≠ 0]

    the outputs of other steps are not computed. Of steps that are all the same all taps are
    computed once, at the first step.
    """

    def _count_rows(self, rows: Tensor, steps: slice) -> None:
        taps = self.info.layer
        assert isinstance(taps, TapConv2d)
        number, samples = len(range(steps.start, steps.stop, steps.step or 1)), self.batch.shape[2]
        by_step = rows.unflatten(0, (number, samples))
        if self.info.given.held:
            by_step = onsets(by_step)
        begin, shape = self._next_step - number, tuple(rows.shape[1:])
        stem = self.info.called
        is_static = isinstance(stem, Stem) and stem.static

        def taps_at(t: int) -> tuple[int, ...]:
            every = tuple(range(len(taps.offsets)))
            return every if is_static else taps.read_at(t, self._max_steps)

        for used, run in groupby(range(begin, begin + number), taps_at):
            own = list(run)
            part = by_step[own[0] - begin : own[-1] + 1 - begin].flatten(0, 1)
            if not used:
                continue
            fan_out = self._fan_out(
                (*used, -1, *shape), lambda used=used: FanOut(taps.of_taps(*used), shape)
            )
            found = fan_out.count(part, self.info.given).view(2, len(own), samples, -1)
            self._add(
                self._at(own[0], len(own)),
                found.sum(3),
                len(part) * fan_out.dense,
                len(part) * fan_out.inputs,
            )
