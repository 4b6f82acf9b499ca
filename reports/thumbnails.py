"""Small images as `data:` addresses."""

from __future__ import annotations

import base64
import io

import torch
from torch import Tensor

from ..datasets.base import Split

MAX_PIXELS = 96  # per side


def image_of(split: Split, index: int, full_scale: float) -> Tensor:
    """Return one image `[C, H, W]` in [0, 1]."""
    image = split.images[index]
    return image.float() / full_scale if image.dtype == torch.uint8 else image.float()


def thumbnail(image: Tensor) -> str:
    """Return an image as the `data:` address of a PNG; grey unless it has three channels."""
    from PIL import Image

    scaled = (image if len(image) == 3 else image.mean(0, keepdim=True)).clamp(0, 1) * 255
    pixels = scaled.round().to(torch.uint8).permute(1, 2, 0).squeeze(-1)
    picture = Image.fromarray(pixels.numpy())
    picture.thumbnail((MAX_PIXELS, MAX_PIXELS))
    written = io.BytesIO()
    picture.save(written, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(written.getvalue()).decode()}"
