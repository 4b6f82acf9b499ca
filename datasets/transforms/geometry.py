"""Mirroring, cropping and turning images, each sample of a batch by its own amount."""

import torch
from torch import Tensor
from torch.nn import functional as F


def flip(x: Tensor, chosen: Tensor) -> Tensor:
    """Return images `[B, C, H, W]`, those where `chosen` `[B]` is true mirrored left and right."""
    return torch.where(chosen[:, None, None, None], x.flip(-1), x)


def crop(x: Tensor, margin: int, top: Tensor, left: Tensor) -> Tensor:
    """Return windows of the size of `x` `[B, C, H, W]` out of `x` padded by `margin` zeros.

    `top` and `left` `[B]` are where each window begins, 0..2*margin.
    """
    height, width = x.shape[-2:]
    padded = F.pad(x, (margin,) * 4)
    rows = top[:, None] + torch.arange(height, device=x.device)
    columns = left[:, None] + torch.arange(width, device=x.device)
    sample = torch.arange(len(x), device=x.device)[:, None, None, None]
    channel = torch.arange(x.shape[1], device=x.device)[:, None, None]
    return padded[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]


def rotate(x: Tensor, degrees: Tensor) -> Tensor:
    """Return images `[B, C, H, W]` turned counter-clockwise by `degrees` `[B]` about the centre.

    Bilinear, in pixels (a square stays a square in an oblong image), zeros where nothing was.
    """
    height, width = x.shape[-2:]
    angle = torch.deg2rad(degrees)
    cos, sin, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # affine_grid measures both axes from -1 to 1; the ratios turn that into equal pixels.
    rows = [torch.stack([cos, -sin * height / width, none], -1)]
    rows.append(torch.stack([sin * width / height, cos, none], -1))
    theta = torch.stack(rows, 1).to(x.dtype)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
