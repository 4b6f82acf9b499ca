"""Errors of a flow where its truth is known."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

OUTLIER = 3.0
"""Pixels of error from which a pixel counts as an outlier."""


class FlowErrors(NamedTuple):
    """Errors of each of B recordings, `[B]`; NaN where none of its pixels counts.

    Attributes:
        aee: mean endpoint error |u - truth|, in pixels over the duration.
        outliers: share of the pixels with an error above 3 px.
    """

    aee: Tensor
    outliers: Tensor


def flow_errors(flow: Tensor, truth: Tensor, lit: Tensor) -> FlowErrors:
    """Return the errors over the pixels that have events and a known truth.

    A truth of 0 counts as any other: without it, errors in scenes at rest would not show.

    Args:
        flow: `[B, 2, H, W]`.
        truth: `[B, 2, H, W]` or `[B, 2, 1, 1]`, NaN where not known.
        lit: whether a pixel has events, `[B, H, W]`.
    """
    error = (flow - truth).square().sum(1).sqrt()
    counted = lit & ~error.isnan()
    number = counted.flatten(1).sum(1).to(flow.dtype)
    total = torch.where(counted, error, 0).flatten(1).sum(1)
    far = (counted & (error > OUTLIER)).flatten(1).sum(1)
    return FlowErrors(total / number, far / number)  # 0 / 0 is NaN
