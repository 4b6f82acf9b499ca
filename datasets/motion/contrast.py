"""How sharp events become when they are moved along a flow."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...coding.samples import EventBatch
from .images import average_times, splat
from .warp import warped


def contrast_loss(events: EventBatch, flow: Tensor, until: int) -> Tensor:
    """Return the loss of the average times of events moved along a flow, `[B]`.

        L(to) = Σ_p Σ_x T_p(x)² / #{x with an event}
        loss = L(until) + L(0) with times reversed

    T_p are the average times at the pixels of the moved events (`average_times`), from 0 to 1:
    those of L(until) grow with time, those of L(0) fall. Where events that belong together meet in
    a pixel, late and early ones, their average is small. Without the division by the number of lit
    pixels the loss would be smallest for a flow that drives all events out of the image. A
    recording without events has the loss 0.

    Args:
        events: B recordings, with 0 <= t < `until`.
        flow: of each event, `[E, 2]`, in pixels over `events.duration`.
        until: where time ends, in µs.

    Source: arXiv 2106.01862, equations 7 to 10; the events that leave are dropped.
    """
    times = events.t.to(flow.dtype) / until
    forward = _squared_times(events, flow, until, times)
    return forward + _squared_times(events, flow, 0, 1 - times)


def _squared_times(events: EventBatch, flow: Tensor, to: int, times: Tensor) -> Tensor:
    x, y = warped(events, flow, to)
    average, counts = average_times(events, x, y, times)
    lit = (counts.detach().sum(1) > 0).flatten(1).sum(1)
    return average.square().flatten(1).sum(1) / lit.clamp(min=1)


class ContrastMeasures(NamedTuple):
    """Two measures of each of B recordings against the flow 0, `[B]`; NaN without events.

    Attributes:
        fwl: variance of the image of warped events (both polarities) over that of the events as
            they are: above 1 the flow sharpens.
        rsat: `contrast_loss` over that of the flow 0: below 1 the flow sharpens.
    """

    fwl: Tensor
    rsat: Tensor


class Contrast:
    """Flow warp loss and ratio of squared average timestamps of flows of the same recordings.

    Both depend on the number of events of a recording: only those of the same windows compare.
    What the flow 0 gives is computed once.

    Args:
        events: B recordings, with 0 <= t < `until`.
        until: to which time the image is warped, in µs.

    Source: Stoffregen et al., ECCV 2020 (FWL); arXiv 2106.01862 (RSAT).
    """

    @torch.no_grad()
    def __init__(self, events: EventBatch, until: int) -> None:
        self._events, self._until = events, until
        still = torch.zeros(len(events.t), 2, device=events.device)
        self._variance = image_variance(events, still, until)
        self._loss = contrast_loss(events, still, until)

    @torch.no_grad()
    def measures(self, flow: Tensor) -> ContrastMeasures:
        """Return the measures of a flow, that of each event, `[E, 2]`."""
        variance = image_variance(self._events, flow, self._until)
        loss = contrast_loss(self._events, flow, self._until)
        return ContrastMeasures(variance / self._variance, loss / self._loss)


def measures(events: EventBatch, flow: Tensor, until: int) -> ContrastMeasures:
    """Return the measures of one flow, see `Contrast`."""
    return Contrast(events, until).measures(flow)


def image_variance(events: EventBatch, flow: Tensor, to: int) -> Tensor:
    """Return the variance over the pixels of the image of events warped to a time, `[B]`."""
    x, y = warped(events, flow, to)
    return splat(events, x, y).sum(1).flatten(1).var(1, unbiased=False)
