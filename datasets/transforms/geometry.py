"""Flip, turns, crop and rotation of a batch, with parameters for each sample."""

import torch
from torch import Tensor
from torch.nn import functional as F


def flip(x: Tensor, chosen: Tensor) -> Tensor:
    """Return images `[B, C, H, W]`, mirrored horizontally where `chosen` `[B]` is true."""
    return torch.where(chosen[:, None, None, None], x.flip(-1), x)


def quarter_turns(x: Tensor, quarters: Tensor) -> Tensor:
    """Return square images `[B, C, H, W]`, turned counter-clockwise by `quarters` `[B]` × 90°."""
    turned = torch.stack([torch.rot90(x, k, (-2, -1)) for k in range(4)])
    return turned[quarters, torch.arange(len(x), device=x.device)]


def crop(x: Tensor, margin: int, top: Tensor, left: Tensor) -> Tensor:
    """Return crops of `x` `[B, C, H, W]` padded by `margin` zeros, in the size of `x`.

    `top` and `left` `[B]` are the offsets of the crops, 0..2*margin.
    """
    height, width = x.shape[-2:]
    padded = F.pad(x, (margin,) * 4)
    rows = top[:, None] + torch.arange(height, device=x.device)
    columns = left[:, None] + torch.arange(width, device=x.device)
    sample = torch.arange(len(x), device=x.device)[:, None, None, None]
    channel = torch.arange(x.shape[1], device=x.device)[:, None, None]
    return padded[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]


def rotate(x: Tensor, degrees: Tensor) -> Tensor:
    """Return images `[B, C, H, W]` rotated counter-clockwise by `degrees` `[B]` about the centre.

    Bilinear, in pixels (a square stays a square if H ≠ W), zeros outside the image.
    """
    height, width = x.shape[-2:]
    angle = torch.deg2rad(degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # affine_grid scales both axes to [-1, 1]; the ratios make pixels square again.
    rows = [torch.stack([cos, -sin * height / width, zero], -1)]
    rows.append(torch.stack([sin * width / height, cos, zero], -1))
    theta = torch.stack(rows, 1).to(x.dtype)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
