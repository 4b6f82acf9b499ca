"""Hybrid codes: the analog image at the first step, spikes at the others.

Source: arXiv 2408.12407.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..base import Coding, Moments
from .slots import Embedding, SlotCoding, Temporal, Variant
from .thresholds import ThresholdRule


class Hybrid(Coding):
    """code[0] = x, code[1:] = `inner.encode(x)` with T - 1 steps.

    Args:
        steps: number of time steps T, at least 2.
        thresholds: `linear` or `quantile`, for the spike steps.
        variant: `fixed`, or `published` for the published code with its bugs.

    Raises:
        ConfigError: fewer than 2 steps, or an option that the inner code refuses.
    """

    analog_steps = 1
    min_steps = 2
    inner_type: type[SlotCoding]

    def __init__(
        self,
        *,
        steps: int,
        thresholds: ThresholdRule = "linear",
        variant: Variant = "fixed",
    ) -> None:
        super().__init__(steps=steps)
        self.inner = self.inner_type(steps=steps - 1, thresholds=thresholds, variant=variant)
        # The published thresholds are 1 - i/T although T - 1 steps carry spikes.
        self.inner.divisor = steps

    @property
    def pointwise(self) -> bool:  # type: ignore[override]
        return self.inner.pointwise

    def encode(self, x: Tensor) -> Tensor:
        spikes = self.inner.encode(x)
        return torch.cat([x.unsqueeze(0), spikes])

    def decode(self, code: Tensor, moments: Moments | None = None) -> Tensor:
        return code[0]


class HybridTemporal(Hybrid):
    """The analog image, then `temporal` over K = T - 1 slots."""

    name = "hybrid"
    inner_type = Temporal


class HybridEmbedding(Hybrid):
    """The analog image, then `embedding` over K = 2^(T-1) - 1 slots."""

    name = "hybrid-embedding"
    inner_type = Embedding
