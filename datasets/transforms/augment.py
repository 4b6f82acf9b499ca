"""Random changes of training images, as tensors: which there are, and in which order."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from ...core.errors import ConfigError
from .erasing import erase
from .geometry import crop, flip, rotate
from .mixing import Targets, cutmix, mixup
from .policies import STRONGEST, auto_augment, named_transform, rand_augment, transformed


@dataclass(frozen=True)
class Augment:
    """Which changes a training batch goes through, in this order.

    Flip, rotation, crop, AutoAugment, RandAugment, transforms, erasing, then mixing: erasing is
    last of what happens to a single image, as in timm, so that no other operation fills or moves
    what is erased, and whole batches are mixed after that.

    Args:
        flip: mirror left and right, half of the samples.
        rotation: turn counter-clockwise by an angle uniform in [0, rotation] degrees, bilinear.
        crop: pad by that many zero pixels on each side and crop back at a random place.
        autoaugment: torchvision's AutoAugment, by the data set its policy was found on; images
            of one or three channels.
        randaugment: that many operations of RandAugment a sample; images of one or three channels.
        randaugment_magnitude: of its operations, 0 to 10.
        transforms: torchvision.transforms.v2 classes by name, or with their arguments as
            `{"name": "RandomGrayscale", "p": 0.1}`; one image at a time, values stay floats.
        erasing: probability that a black rectangle covers 2 % to a third of a sample.
        mixup: blend each image with another of the batch, with one weight a batch.
        mixup_alpha: that weight is drawn from Beta(α, α); from U(0, 1) where it is not set.
        cutmix: paste a rectangle of another image of the batch; where `mixup` is on as well, each
            batch goes through one of the two, with equal chances.
        cutmix_alpha: the share that stays is drawn from Beta(α, α); from U(0, 1) where it is not
            set.
        mixup_off_epoch: from that epoch on (counted from 0) there is neither mixup nor cutmix.

    Raises:
        ConfigError: a value out of range, an unknown policy, transform or argument.
    """

    flip: bool = False
    crop: int = 0
    rotation: float = 0.0
    mixup: bool = False
    mixup_off_epoch: int | None = None
    transforms: tuple[str | dict[str, Any], ...] = ()
    autoaugment: Literal["cifar10", "imagenet", "svhn"] | None = None
    randaugment: int = 0
    randaugment_magnitude: int = 9
    erasing: float = 0.0
    mixup_alpha: float | None = None
    cutmix: bool = False
    cutmix_alpha: float | None = None

    def __post_init__(self) -> None:
        for key in ("crop", "rotation", "mixup_off_epoch", "randaugment"):
            value = getattr(self, key)
            if value is not None and not 0 <= value < math.inf:
                raise ConfigError(f"{key} is {value}", why="it cannot be negative or infinite")
        for key, most in (("erasing", 1), ("randaugment_magnitude", STRONGEST)):
            value = getattr(self, key)
            if not 0 <= value <= most:
                raise ConfigError(f"{key} is {value}", why=f"it must be from 0 to {most}")
        for key in ("mixup_alpha", "cutmix_alpha"):
            value = getattr(self, key)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{key} is {value}", why="it must be above 0 and finite")
        _ = self._pipeline

    @cached_property
    def _pipeline(self) -> list[Any]:
        pipeline = []
        if self.autoaugment is not None:
            pipeline.append(auto_augment(self.autoaugment))
        if self.randaugment:
            pipeline.append(rand_augment(self.randaugment, self.randaugment_magnitude))
        return pipeline + [named_transform(entry) for entry in self.transforms]

    def apply(
        self, x: Tensor, y: Tensor, *, epoch: int, generator: Generator | None = None
    ) -> tuple[Tensor, Targets]:
        """Return changed images `[B, C, H, W]` in [0, 1] and the targets for labels `[B]`.

        All chance comes from `generator` (on the CPU), and what is off draws nothing from it.

        Raises:
            ConfigError: a transform cannot take such images, or changes their shape or type.
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
        if self._pipeline and count:
            x = transformed(x, self._pipeline, generator)
        if self.erasing:
            x = erase(x, self.erasing, generator)
        return self._mixed(x, y, epoch, generator)

    def _mixed(
        self, x: Tensor, y: Tensor, epoch: int, generator: Generator | None
    ) -> tuple[Tensor, Targets]:
        mixes = [
            (mix, alpha)
            for mix, alpha, on in (
                (mixup, self.mixup_alpha, self.mixup),
                (cutmix, self.cutmix_alpha, self.cutmix),
            )
            if on
        ]
        if not mixes or (self.mixup_off_epoch is not None and epoch >= self.mixup_off_epoch):
            return x, Targets(y, y, 1.0)
        chosen = int(torch.randint(2, (), generator=generator)) if len(mixes) > 1 else 0
        mix, alpha = mixes[chosen]
        return mix(x, y, alpha, generator)
