"""The constant motion that makes recordings sharpest."""

from __future__ import annotations

import torch
from torch import Tensor

from ...coding.samples import EventBatch
from .contrast import image_variance
from .warp import flow_at

COARSE = 2.0
"""Pixels between two motions of the first search."""
FINEST = 0.125


@torch.no_grad()
def global_motion(events: EventBatch, until: int, *, span: float = 16.0) -> Tensor:
    """Return the motion of each recording `[B, 2]` whose image of warped events varies most.

    All motions of a square grid are tried, then those around the best of them at half the
    distance, down to 1/8 pixel. Of equal ones the first is taken; a recording without events has
    the motion of a corner of the grid, and means nothing.

    Args:
        events: B recordings, with 0 <= t < `until`.
        until: to which time they are warped, in µs.
        span: largest motion of the first grid, in pixels over the duration, along each axis.

    Source: contrast maximisation, Gallego et al., CVPR 2018.
    """
    steps = torch.arange(-span, span + COARSE / 2, COARSE)
    grid = torch.cartesian_prod(steps, steps).to(events.device)
    best = _best(events, until, grid.expand(events.size, -1, -1))
    step = COARSE / 2
    around = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0])] * 2).to(events.device)
    while step >= FINEST:
        best = _best(events, until, best.unsqueeze(1) + step * around)
        step /= 2
    return best


def _best(events: EventBatch, until: int, motions: Tensor) -> Tensor:
    """Return the best of `motions` `[B, M, 2]` for each recording."""
    variances = torch.stack(
        [
            image_variance(events, flow_at(events, each[:, :, None, None]), until)
            for each in motions.unbind(1)
        ]
    )
    return motions[torch.arange(len(motions)), variances.argmax(0)]
