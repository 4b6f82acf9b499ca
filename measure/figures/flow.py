"""Optical flow as colours, and events before and after they move along it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...coding.samples import EventBatch
from ...datasets.motion import event_counts, flow_at, splat, warped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Pixels = np.ndarray  # uint8 [H, W, 3]


def flow_colours(flow: Tensor, limit: float, shown: Tensor | None = None) -> Pixels:
    """Return a flow as colours: the hue is its direction, the saturation its length.

    Red is to the right, yellow-green down, cyan to the left, violet up; white is no flow.

    Args:
        flow: pixels to the right and down, `[2, H, W]`.
        limit: the length with full saturation.
        shown: which pixels are shown, `[H, W]`; the others are black. All by default.

    Returns:
        uint8 `[H, W, 3]`.
    """
    from matplotlib.colors import hsv_to_rgb

    right, down = flow.double().cpu().numpy()
    hue = np.arctan2(down, right) / (2 * math.pi) % 1.0
    saturation = np.clip(np.hypot(right, down) / limit, 0, 1)
    pixels = hsv_to_rgb(np.stack([hue, saturation, np.ones_like(hue)], -1))
    if shown is not None:
        pixels = pixels * shown.cpu().numpy()[..., None]
    return np.round(255 * pixels).astype(np.uint8)


def colour_wheel(size: int = 65) -> Pixels:
    """Return the colours of all flows up to the limit, each where it leads from the centre."""
    axis = torch.linspace(-1, 1, size)
    down, right = torch.meshgrid(axis, axis, indexing="ij")
    pixels = flow_colours(torch.stack([right, down]), 1.0)
    pixels[(right.square() + down.square()).numpy() > 1] = 255
    return pixels


def lit(events: EventBatch) -> Tensor:
    """Return which pixels have an event, `[B, H, W]`."""
    return event_counts(events).sum(1) > 0


def images_before_and_after(events: EventBatch, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Return the number of events at each pixel, as they are and moved along a flow to their end.

    Args:
        events: B recordings.
        flow: pixels over their duration, `[B, 2, H, W]` or `[B, 2, 1, 1]`.

    Returns:
        Two images `[B, H, W]`; the sharper the second, the better the flow.
    """
    x, y = warped(events, flow_at(events, flow.float()), events.duration)
    return event_counts(events).sum(1), splat(events, x, y).sum(1)


def draw_flow(axes: Axes, flow: Tensor, limit: float, shown: Tensor | None = None) -> None:
    """Draw a flow `[2, H, W]` as colours, with the wheel of colours in a corner."""
    axes.imshow(flow_colours(flow, limit, shown), interpolation="nearest")
    wheel = axes.inset_axes((0.0, 0.0, 0.22, 0.22))
    wheel.imshow(colour_wheel())
    wheel.set_axis_off()


def draw_events(axes: Axes, image: Tensor, high: float) -> None:
    """Draw an image of events `[H, W]`; `high` is black."""
    axes.imshow(image.cpu(), cmap="gray_r", vmin=0, vmax=max(high, 1.0), interpolation="nearest")
