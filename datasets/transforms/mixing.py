"""Mixup and cutmix: two images in one, with two weighted labels."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from ...coding.samples import Batch


class Targets(NamedTuple):
    """Labels `[B]` of a batch: `first` with `weight`, `second` with `1 - weight`.

    `samples` say which draws of which samples they are, `[B]` on the CPU, and `inputs` are the
    samples themselves, as the network gets them; `Batches` fills both in.
    """

    first: Tensor
    second: Tensor
    weight: float
    samples: Tensor | None = None
    inputs: Batch | None = None


def draw_weight(alpha: float | None, generator: Generator | None = None) -> float:
    """Return λ ~ Beta(α, α), or λ ~ U(0, 1) = Beta(1, 1) without α."""
    if alpha is None:
        return float(torch.rand((), generator=generator))
    # torch's Beta distribution uses the global generator only.
    seed = int(torch.randint(2**62, (), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))


def mixup(
    x: Tensor, y: Tensor, alpha: float | None, generator: Generator | None = None
) -> tuple[Tensor, Targets]:
    """Return λ x + (1 - λ) x[π] for images `[B, C, H, W]`, with one λ and permutation π.

    Source: arXiv 1710.09412.
    """
    weight = draw_weight(alpha, generator)
    other = torch.randperm(len(x), generator=generator).to(x.device)
    return weight * x + (1 - weight) * x[other], Targets(y, y[other], weight)


def cutmix(
    x: Tensor, y: Tensor, alpha: float | None, generator: Generator | None = None
) -> tuple[Tensor, Targets]:
    """Return images `[B, C, H, W]` with a rectangle from x[π], the same for the whole batch.

    The rectangle has √(1 - λ) of the height and the width, a random centre, and is clipped at the
    border. The weight of the first label is its share of the pixels, which differs from λ by
    rounding and clipping.

    Source: arXiv 1905.04899, algorithm 1.
    """
    share = math.sqrt(1 - draw_weight(alpha, generator))
    other = torch.randperm(len(x), generator=generator).to(x.device)
    (top, bottom), (left, right) = (
        _span(size, share, int(torch.randint(size, (), generator=generator)))
        for size in x.shape[-2:]
    )
    mixed = x.clone()
    mixed[..., top:bottom, left:right] = x[other][..., top:bottom, left:right]
    height, width = x.shape[-2:]
    weight = 1 - (bottom - top) * (right - left) / (height * width)
    return mixed, Targets(y, y[other], weight)


def _span(size: int, share: float, middle: int) -> tuple[int, int]:
    half = int(size * share) // 2
    return max(middle - half, 0), min(middle + half, size)
