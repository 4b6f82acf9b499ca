"""Simulated events of an image that moves in front of an ideal event camera."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

STEPS_PER_PIXEL = 8
"""Renderings of the image for each pixel that it moves: between two of them light is linear."""
DARKEST = 0.05
"""Added to the light, which would be 0 (and its logarithm infinite) in black pixels."""


class SimulatedEvents(NamedTuple):
    """The events of one recording, sorted by time; see `asnn.coding.samples.EventList`."""

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray


def moving_image_events(
    image: Tensor, motion: tuple[float, float], *, duration: int, threshold: float = 0.25
) -> SimulatedEvents:
    """Return the events of a pattern that moves by `motion` over the duration.

    A pixel sends an event whenever the logarithm of its light, log(I + 0.05), has risen (on) or
    fallen (off) by the threshold since its last event. The camera has no noise, no delay and no
    dead time. What moves into the image from outside has the value at its edge. The flow of every
    pixel is the motion, exactly.

    Args:
        image: `[H, W]` in [0, 1].
        motion: pixels to the right and down over the duration.
        duration: in µs.
        threshold: of the logarithm.
    """
    height, width = image.shape
    count = max(2, math.ceil(STEPS_PER_PIXEL * max(map(abs, motion))) + 1)
    shares = torch.linspace(0, 1, count, dtype=torch.float64)
    rows, columns = torch.meshgrid(
        torch.arange(height, dtype=torch.float64),
        torch.arange(width, dtype=torch.float64),
        indexing="ij",
    )
    at_x = columns - shares.view(-1, 1, 1) * motion[0]
    at_y = rows - shares.view(-1, 1, 1) * motion[1]
    grid = torch.stack([_from_minus_one(at_x, width), _from_minus_one(at_y, height)], -1)
    frames = image.double().expand(count, 1, height, width)
    light = grid_sample(frames, grid, padding_mode="border", align_corners=True)[:, 0]
    levels = ((light + DARKEST).log() / threshold).numpy()
    return _crossings(levels, duration)


def _from_minus_one(position: Tensor, size: int) -> Tensor:
    """Return positions as `grid_sample` takes them: -1 is the first pixel, 1 the last."""
    return 2 * position / max(size - 1, 1) - 1


def _crossings(levels: np.ndarray, duration: int) -> SimulatedEvents:
    """Return the events of light in units of the threshold, `[S, H, W]`, linear between frames."""
    last = levels[0].copy()  # the level of the last event of each pixel
    parts = []
    for step, (before, after) in enumerate(pairwise(levels)):
        # Light is monotonic between two frames, so that its crossings are of one sign. The
        # tolerance keeps a level that is reached but for rounding from being crossed once more.
        number = np.trunc((after - last) * (1 + 1e-9)).astype(np.int64)
        y, x = np.nonzero(number)
        crossed = np.abs(number[y, x])
        sign = np.sign(number[y, x])
        event = np.repeat(np.arange(len(x)), crossed)
        rank = np.arange(len(event)) - np.repeat(np.cumsum(crossed) - crossed, crossed) + 1
        level = last[y, x][event] + sign[event] * rank
        slope = (after - before)[y, x][event]
        share = np.clip((level - before[y, x][event]) / slope, 0, 1)
        t = (step + share) * duration / (len(levels) - 1)
        t = np.minimum(t.astype(np.int64), duration - 1)
        parts.append((t, x[event], y[event], (sign[event] > 0).astype(np.int64)))
        last[y, x] += number[y, x]
    t, x, y, p = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(t, kind="stable")
    return SimulatedEvents(t[order], x[order], y[order], p[order])
