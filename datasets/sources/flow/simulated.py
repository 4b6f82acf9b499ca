"""Simulated events of moving images, whose flow is known exactly."""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ....coding.samples import SampleSpec
from ....core.errors import ConfigError
from ...base import Source, Split
from ...motion.simulate import moving_image_events
from ..boxes.members import load_members
from ..events.fit import check_duration, microseconds
from ..sizes import height_and_width
from .windows import joined

SEEDS = {"train": 1, "validation": 2, "test": 3}


def load_flow_simulated(
    *,
    of: str | dict[str, Any] = "digits",
    dir: str | None = None,
    size: int | list[int] = 32,
    duration: float = 75.0,
    speed: float = 8.0,
    threshold: float = 0.5,
    count: int = 1000,
) -> Source:
    """Return simulated events of images that move in random directions, with their exact flow.

    Each image moves by up to `speed` pixels in a direction of its own, which depends on its place
    in its part alone; parts are those of the images. Colours are averaged. See
    `moving_image_events` for the camera, which has no noise: results on these data say little of
    real cameras.

    Args:
        of: the data set of the images, or a table with `name` and its options.
        dir: folder of its files, for data sets that have this option.
        size: [height, width] of the sensor, to which images are scaled (bilinear); one number for
            both.
        duration: the length of a recording in ms.
        speed: largest motion over the duration, in pixels; lengths are uniform from 1/4 of it.
        threshold: of the camera, a difference of the logarithm of light.
        count: images taken of each part, at most.

    Raises:
        ConfigError: an option out of range, or a data set of other samples.
        DataError: as of the data set.
    """
    sensor = height_and_width(size)
    assert sensor is not None
    check_duration(duration)
    for key, value in (("speed", speed), ("threshold", threshold), ("count", count)):
        if not 0 < value < float("inf"):
            raise ConfigError(f"{key} is {value}", why="it must be above 0 and finite")
    members = load_members(of, dir, "image")
    data = members.data
    length = microseconds(duration)
    spec = SampleSpec("events", (2, *sensor), duration=length)
    camera = partial(moving_image_events, duration=length, threshold=threshold)

    def part(name: str) -> Split:
        split = data.split(name)
        chosen = range(min(count, len(split)))
        motion = _motions(SEEDS[name], len(chosen), speed)
        events = [
            camera(_grey(members.sample(name, i), data.full_scale, sensor), (float(u), float(v)))
            for i, (u, v) in zip(chosen, motion, strict=True)
        ]
        targets = torch.from_numpy(motion).float()[:, :, None, None]
        return Split(joined(events, spec), targets, torch.arange(len(chosen)))

    return Source(
        part("train"),
        part("test"),
        [],
        validation=part("validation"),
        spec=spec,
        notes=[f"the events are simulated: images of {data.name} that move, without noise"],
        target="flow",
    )


def _motions(seed: int, count: int, speed: float) -> np.ndarray:
    """Return random motions, `[count, 2]`."""
    draw = np.random.default_rng(seed)
    length = speed * draw.uniform(0.25, 1, count)
    angle = draw.uniform(-math.pi, math.pi, count)
    return np.stack([length * np.cos(angle), length * np.sin(angle)], 1)


def _grey(image: Tensor, full_scale: float, size: tuple[int, int]) -> Tensor:
    """Return an image `[C, h, w]` as `[H, W]` in [0, 1]."""
    light = image.float().mean(0, keepdim=True)
    light = light / full_scale if image.dtype == torch.uint8 else light
    return interpolate(light[None], size=size, mode="bilinear", align_corners=False)[0, 0]
