"""Two images in one, and two labels: mixup blends them, cutmix pastes a rectangle."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor


class Targets(NamedTuple):
    """Labels `[B]` of a batch: `weight` parts of `first` and `1 - weight` parts of `second`."""

    first: Tensor
    second: Tensor
    weight: float


def draw_weight(alpha: float | None, generator: Generator | None = None) -> float:
    """Return λ ~ Beta(α, α), or ~ U(0, 1) where α is None (which is Beta(1, 1))."""
    if alpha is None:
        return float(torch.rand((), generator=generator))
    # torch draws from Beta with its global generator only.
    seed = int(torch.randint(2**62, (), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))


def mixup(
    x: Tensor, y: Tensor, alpha: float | None, generator: Generator | None = None
) -> tuple[Tensor, Targets]:
    """Return λ x + (1 - λ) x[π] for images `[B, C, H, W]`, one λ and permutation π a batch.

    Source: arXiv 1710.09412.
    """
    weight = draw_weight(alpha, generator)
    other = torch.randperm(len(x), generator=generator).to(x.device)
    return weight * x + (1 - weight) * x[other], Targets(y, y[other], weight)


def cutmix(
    x: Tensor, y: Tensor, alpha: float | None, generator: Generator | None = None
) -> tuple[Tensor, Targets]:
    """Return images `[B, C, H, W]` with one rectangle, the same in a batch, out of x[π].

    The rectangle is √(1 - λ) of the height and of the width about a pixel drawn at random, less
    what would lie outside the image. The weight of the first label is the share of pixels that
    are its own, and not λ, which the rounding and the cutting at the rim change.

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
