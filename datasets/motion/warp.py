"""Events moved along a flow to one time."""

from __future__ import annotations

import torch
from torch import Tensor

from ...coding.samples import EventBatch


def inside(events: EventBatch, until: int) -> EventBatch:
    """Return the events with 0 <= t < `until`, in µs."""
    return events.kept((events.t >= 0) & (events.t < until))


def flow_at(events: EventBatch, flow: Tensor) -> Tensor:
    """Return the flow of each event, `[E, 2]`: that of its pixel in its recording.

    Args:
        events: B recordings.
        flow: pixels to the right and down over the duration of a recording, `[B, 2, H, W]`, or
            `[B, 2, 1, 1]` where all pixels move alike.
    """
    if flow.shape[2:] == (1, 1):
        return flow[:, :, 0, 0][events.sample]
    return flow[events.sample, :, events.y, events.x]


def warped(events: EventBatch, flow: Tensor, to: int) -> tuple[Tensor, Tensor]:
    """Return where each event is at the time `to`, if it moves with its flow: x' and y', `[E]`.

        x' = x + (to - t) / duration · u

    Args:
        events: recordings of the duration in which the flow is.
        flow: u of each event, `[E, 2]`, see `flow_at`.
        to: in µs since the beginning of the recording.
    """
    share = (to - events.t).to(flow.dtype) / events.duration
    start = torch.stack([events.x, events.y], 1).to(flow.dtype)
    moved = start + share.unsqueeze(1) * flow
    return moved[:, 0], moved[:, 1]
