"""Random changes of training images, as tensors, each sample its own."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from ..core.errors import ConfigError
from ..core.registry import unknown
from .torchvision_import import torchvision

UNFIT = {
    "MixUp": "it needs labels; use mixup=true",
    "CutMix": "it needs labels; use mixup=true",
    "Compose": "list the transforms one after another instead",
    "RandomApply": "it contains other transforms",
    "RandomChoice": "it contains other transforms",
    "RandomOrder": "it contains other transforms",
    "Lambda": "it contains a function",
}


class Targets(NamedTuple):
    """Labels `[B]` of a batch: `weight` parts of `first` and `1 - weight` parts of `second`."""

    first: Tensor
    second: Tensor
    weight: float


@dataclass(frozen=True)
class Augment:
    """Which changes a training batch goes through, in this order.

    Args:
        flip: mirror left and right, half of the samples.
        rotation: turn counter-clockwise by an angle uniform in [0, rotation] degrees, bilinear.
        crop: pad by that many zero pixels on each side and crop back at a random place.
        transforms: torchvision.transforms.v2 classes by name, or with their arguments as
            `{"name": "RandomErasing", "p": 0.25}`; one image at a time, values stay floats.
        mixup: blend each image with another of the batch, with one weight from U(0, 1).
        mixup_off_epoch: from that epoch on (counted from 0) there is no mixup.

    Raises:
        ConfigError: a value out of range, an unknown transform or argument.
    """

    flip: bool = False
    crop: int = 0
    rotation: float = 0.0
    mixup: bool = False
    mixup_off_epoch: int | None = None
    transforms: tuple[str | dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        for key in ("crop", "rotation", "mixup_off_epoch"):
            value = getattr(self, key)
            if value is not None and not 0 <= value < math.inf:
                raise ConfigError(f"{key} is {value}", why="it cannot be negative or infinite")
        if self.transforms:
            _ = self._pipeline

    @cached_property
    def _pipeline(self) -> list[Any]:
        return [_transform(entry) for entry in self.transforms]

    def apply(
        self, x: Tensor, y: Tensor, *, epoch: int, generator: Generator | None = None
    ) -> tuple[Tensor, Targets]:
        """Return changed images `[B, C, H, W]` in [0, 1] and the targets for labels `[B]`.

        All chance comes from `generator` (on the CPU). torchvision's transforms know only torch's
        global generators: these are seeded from `generator` for the time, and put back.

        Raises:
            ConfigError: a transform changes the shape or the type of an image.
        """
        count = len(x)
        if self.flip:
            chosen = torch.rand(count, generator=generator) < 0.5
            x = flip(x, chosen.to(x.device))
        if self.rotation and count:
            degrees = self.rotation * torch.rand(count, generator=generator)
            # Interpolation weights may add up to a rounding more than 1.
            x = rotate(x, degrees.to(x.device)).clamp(0, 1)
        if self.crop:
            offsets = torch.randint(2 * self.crop + 1, (2, count), generator=generator)
            top, left = offsets.to(x.device)
            x = crop(x, self.crop, top, left)
        if self.transforms and count:
            x = self._transformed(x, generator)
        if not self.mixup or (self.mixup_off_epoch is not None and epoch >= self.mixup_off_epoch):
            return x, Targets(y, y, 1.0)
        weight = float(torch.rand((), generator=generator))
        other = torch.randperm(count, generator=generator).to(x.device)
        return weight * x + (1 - weight) * x[other], Targets(y, y[other], weight)

    def _transformed(self, x: Tensor, generator: Generator | None) -> Tensor:
        seed = int(torch.randint(2**62, (), generator=generator))
        images = []
        with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
            torch.manual_seed(seed)
            for image in x:
                for transform in self._pipeline:
                    before, image = image, _applied(transform, image)
                    if image.shape != before.shape or image.dtype != before.dtype:
                        raise ConfigError(
                            f"transform {type(transform).__name__} cannot be used here",
                            why=f"it makes {tuple(image.shape)} {image.dtype} of "
                            f"{tuple(before.shape)} {before.dtype}",
                            remedy="use transforms that keep the shape and the type of an image",
                        )
                images.append(image)
        return torch.stack(images)


def _applied(transform: Any, image: Tensor) -> Tensor:
    try:
        return transform(image)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(
            f"transform {type(transform).__name__} cannot be used here",
            why=f"on an image {tuple(image.shape)}: {error}",
        ) from error


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


def _transform(entry: str | dict[str, Any]) -> Any:
    arguments = {"name": entry} if isinstance(entry, str) else dict(entry)
    name: Any = arguments.pop("name", None)
    v2 = torchvision().transforms.v2
    names = [
        key
        for key, value in vars(v2).items()
        if isinstance(value, type) and issubclass(value, v2.Transform) and value is not v2.Transform
    ]
    if isinstance(name, str) and name in UNFIT:
        raise ConfigError(f"transform {name} cannot be used here", why=UNFIT[name])
    if name not in names:
        raise unknown("transform", name, sorted(set(names) - UNFIT.keys()))
    try:
        return getattr(v2, name)(**arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"transform {name} cannot be made", why=str(error)) from error
