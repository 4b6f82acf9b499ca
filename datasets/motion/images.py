"""Images of events at fractional positions: their numbers and their average times."""

from __future__ import annotations

import torch
from torch import Tensor

from ...coding.samples import EventBatch

EPSILON = 1e-9
"""Added to the number of events of a pixel, so that a pixel without any has the time 0."""


def splat(events: EventBatch, x: Tensor, y: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the sum of the weights of the events around each pixel, `[B, P, H, W]`.

        image[b, p, j, i] = Σ_e w_e max(0, 1 - |x_e - i|) max(0, 1 - |y_e - j|)

    It is differentiable in x, y and the weights. The part of an event that lies outside the sensor
    is left out.

    Args:
        events: B recordings, for their numbers and polarities.
        x, y: position of each event, `[E]`.
        weights: w, `[E]`; 1 by default.
    """
    polarities, height, width = events.shape
    polarity = events.p if polarities == 2 else torch.zeros_like(events.p)
    image = events.sample * polarities + polarity
    left, top = x.detach().floor(), y.detach().floor()
    right_part, lower_part = x - left, y - top
    indices, values = [], []
    for down, share_y in ((0, 1 - lower_part), (1, lower_part)):
        for right, share_x in ((0, 1 - right_part), (1, right_part)):
            column, row = left.long() + right, top.long() + down
            within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            share = share_x * share_y
            share = share if weights is None else share * weights
            indices.append(torch.where(within, (image * height + row) * width + column, 0))
            values.append(torch.where(within, share, 0))
    out = x.new_zeros(events.size * polarities * height * width)
    out = out.index_add(0, torch.cat(indices), torch.cat(values))
    return out.view(events.size, polarities, height, width)


def event_counts(events: EventBatch) -> Tensor:
    """Return the number of events at each pixel, as they are, `[B, P, H, W]` float32."""
    return splat(events, events.x.float(), events.y.float())


def average_times(events: EventBatch, x: Tensor, y: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """Return the average time of the events at each pixel, and their number: `[B, P, H, W]` each.

        T_p(x) = Σ_e κ_e time_e / (Σ_e κ_e + ε)

    with κ the bilinear weights of `splat`.

    Args:
        events: B recordings.
        x, y: position of each event, `[E]`.
        times: of each event, `[E]`.
    """
    counts = splat(events, x, y)
    return splat(events, x, y, times) / (counts + EPSILON), counts
