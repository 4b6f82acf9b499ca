"""Small images as `data:` addresses."""

from __future__ import annotations

import base64
import io

import torch
from torch import Tensor

from ..coding.event_frames import Frames
from ..coding.samples import EventBatch
from ..datasets.base import Split, sample_at

MAX_PIXELS = 96  # per side


def image_of(split: Split, index: int, full_scale: float) -> Tensor:
    """Return a picture `[C, H, W]` in [0, 1] of one sample.

    Of a recording of events: on events in red, off events in blue, summed over its duration. Of a
    series: time to the right, the features of its first channel upwards.
    """
    sample = sample_at(split, index)
    if isinstance(sample, EventBatch):
        counts = Frames(steps=1, value="count").encode(sample)[0, 0]
        off, on = counts / counts.max().clamp(min=1)
        return torch.stack([on, torch.zeros_like(on), off]).sqrt()
    if sample.dtype == torch.uint8:
        return sample.float() / full_scale
    if sample.dim() == 2 or sample.dim() == 4:
        rows = sample.float().flatten(1).T.flip(0)
        low, high = rows.min(), rows.max()
        return ((rows - low) / (high - low).clamp(min=1e-6)).unsqueeze(0)
    return sample.float()


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
