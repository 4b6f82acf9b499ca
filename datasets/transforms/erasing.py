"""Random erasing: a black rectangle at a random position."""

import math

import torch
from torch import Generator, Tensor

AREA = (0.02, 1 / 3)  # share of the image
RATIO = (0.3, 1 / 0.3)  # height over width
TRIES = 10


def erase(x: Tensor, probability: float, generator: Generator | None = None) -> Tensor:
    """Return images `[B, C, H, W]`, each with probability `probability` with a rectangle of 0.

    The rectangle has the area a·H·W with a ~ U(0.02, 1/3) and the ratio of height to width
    exp(U(log 0.3, log 10/3)), at a uniform position. The first of ten draws that fits into the
    image is used; if none fits, the image is unchanged.

    Source: arXiv 1708.04896, variant RE-0; limits as in timm.
    """
    count, _, height, width = x.shape
    chosen = torch.rand(count, generator=generator) < probability
    area = torch.empty(count, TRIES).uniform_(*AREA, generator=generator) * (height * width)
    log_ratio = torch.empty(count, TRIES).uniform_(
        math.log(RATIO[0]), math.log(RATIO[1]), generator=generator
    )
    position = torch.rand(2, count, generator=generator)
    erased_h = (area * log_ratio.exp()).sqrt().round().long()
    erased_w = (area / log_ratio.exp()).sqrt().round().long()
    fits = (erased_h < height) & (erased_w < width) & (erased_h > 0) & (erased_w > 0)
    first = fits.int().argmax(1, keepdim=True)  # argmax returns the first of equal values
    chosen &= fits.any(1)
    erased_h, erased_w = erased_h.gather(1, first)[:, 0], erased_w.gather(1, first)[:, 0]
    top = (position[0] * (height - erased_h + 1)).long()
    left = (position[1] * (width - erased_w + 1)).long()
    rows, columns = torch.arange(height), torch.arange(width)
    inside_rows = (rows >= top[:, None]) & (rows < (top + erased_h)[:, None])
    inside_columns = (columns >= left[:, None]) & (columns < (left + erased_w)[:, None])
    erased = chosen[:, None, None] & inside_rows[:, :, None] & inside_columns[:, None, :]
    return x.masked_fill(erased[:, None].to(x.device), 0.0)
