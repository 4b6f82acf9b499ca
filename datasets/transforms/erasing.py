"""Random erasing: a black rectangle somewhere in an image."""

import math

import torch
from torch import Generator, Tensor

AREA = (0.02, 1 / 3)  # share of the image
RATIO = (0.3, 1 / 0.3)  # height over width
TRIES = 10


def erase(x: Tensor, probability: float, generator: Generator | None = None) -> Tensor:
    """Return images `[B, C, H, W]`, each with that probability with a rectangle set to 0.

    A rectangle has an area of a·H·W with a ~ U(0.02, 1/3) and a ratio of height to width of
    exp(U(log 0.3, log 10/3)), and lies anywhere within the image. Of ten draws the first that
    fits into the image is taken; where none does, the image stays as it is.

    Source: arXiv 1708.04896, with the erased part black (RE-0 there); limits as in timm.
    """
    count, _, height, width = x.shape
    chosen = torch.rand(count, generator=generator) < probability
    area = torch.empty(count, TRIES).uniform_(*AREA, generator=generator) * (height * width)
    log_ratio = torch.empty(count, TRIES).uniform_(
        math.log(RATIO[0]), math.log(RATIO[1]), generator=generator
    )
    places = torch.rand(2, count, generator=generator)
    tall = (area * log_ratio.exp()).sqrt().round().long()
    wide = (area / log_ratio.exp()).sqrt().round().long()
    fits = (tall < height) & (wide < width) & (tall > 0) & (wide > 0)
    first = fits.int().argmax(1, keepdim=True)  # of equal values the first
    chosen &= fits.any(1)
    tall, wide = tall.gather(1, first)[:, 0], wide.gather(1, first)[:, 0]
    top = (places[0] * (height - tall + 1)).long()
    left = (places[1] * (width - wide + 1)).long()
    rows, columns = torch.arange(height), torch.arange(width)
    inside_rows = (rows >= top[:, None]) & (rows < (top + tall)[:, None])
    inside_columns = (columns >= left[:, None]) & (columns < (left + wide)[:, None])
    erased = chosen[:, None, None] & inside_rows[:, :, None] & inside_columns[:, None, :]
    return x.masked_fill(erased[:, None].to(x.device), 0.0)
