"""Random augmentation of training batches of images."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from torch import Generator, Tensor

from ...coding.samples import SampleSpec
from ...core.errors import ConfigError
from .erasing import erase
from .geometry import crop, flip, quarter_turns, rotate
from .mixing import Targets, cutmix, mixup
from .policies import (
    MAX_MAGNITUDE,
    apply_transforms,
    auto_augment,
    create_transform,
    rand_augment,
)
from .positions import Carry, mirrored, shifted, stay, turned


@dataclass(frozen=True)
class Augment:
    """Augmentation of a training batch of images, in this order.

    Flip, quarter turns, rotation, crop, AutoAugment, RandAugment, transforms, erasing, then mixing.
    As in timm, erasing is the last operation on a single image, so that no other fills or moves the
    rectangle.

    Args:
        flip: mirror horizontally with probability 1/2.
        rot90: turn counter-clockwise by 0, 90, 180 or 270 degrees, each with probability 1/4; of
            square images.
        rotation: rotate counter-clockwise by an angle uniform in [0, rotation] degrees, bilinear.
        crop: pad by so many zero pixels on each side and crop back at a random position.
        autoaugment: torchvision's AutoAugment by the data set of its policy; images of one or
            three channels.
        randaugment: the number of RandAugment operations per sample; images of one or three
            channels.
        randaugment_magnitude: the magnitude of these operations, 0 to 10.
        transforms: torchvision.transforms.v2 classes by name, or with arguments as
            `{"name": "RandomGrayscale", "p": 0.1}`; applied to one image at a time, in floats.
        erasing: probability that a black rectangle covers 2 % to 1/3 of a sample.
        mixup: blend each image with another of the batch, with one weight per batch.
        mixup_alpha: draw that weight from Beta(α, α); from U(0, 1) by default.
        cutmix: paste a rectangle of another image of the batch; with `mixup` as well, each batch
            gets one of the two with equal probability.
        cutmix_alpha: draw the remaining share from Beta(α, α); from U(0, 1) by default.
        mixup_off_epoch: no mixup and cutmix from this epoch on, counted from 0.

    Attributes:
        moving: the options that may move what an image shows.
        keeping: the options after which targets of a kind are still right, carried along or not.

    Raises:
        ConfigError: a value out of range, an unknown policy, transform or argument.
    """

    moving: ClassVar[tuple[str, ...]] = (
        "flip", "crop", "rotation", "transforms", "autoaugment", "randaugment", "rot90",
    )  # fmt: skip
    keeping: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "boxes": ("flip", "rot90", "crop", "erasing"),
    }

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
    rot90: bool = False

    def __post_init__(self) -> None:
        for key in ("crop", "rotation", "mixup_off_epoch", "randaugment"):
            value = getattr(self, key)
            if value is not None and not 0 <= value < math.inf:
                raise ConfigError(f"{key} is {value}", why="it cannot be negative or infinite")
        for key, maximum in (("erasing", 1), ("randaugment_magnitude", MAX_MAGNITUDE)):
            value = getattr(self, key)
            if not 0 <= value <= maximum:
                raise ConfigError(f"{key} is {value}", why=f"it must be from 0 to {maximum}")
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
        return pipeline + [create_transform(entry) for entry in self.transforms]

    def check(self, spec: SampleSpec) -> None:
        """Refuse images that an option does not fit; a transform that does not support them is
        refused by `apply`.

        Raises:
            ConfigError: quarter turns of images that are not square.
        """
        height, width = spec.shape[1:]
        if self.rot90 and height != width:
            raise ConfigError(
                f"augment.rot90 turns images by 90°, those of {height}×{width} are not square",
                why="turned, they have another shape",
                remedy="leave augment.rot90 out, or use augment.rotation",
            )

    def apply(
        self,
        x: Tensor,
        y: Tensor,
        *,
        epoch: int,
        generator: Generator | None = None,
        samples: Iterable[Generator] = (),
        carry: Carry = stay,
    ) -> tuple[Tensor, Targets]:
        """Return augmented images `[B, C, H, W]` in [0, 1] and the targets for labels `[B]`.

        All random numbers are drawn from `generator` (on the CPU), none from `samples`; disabled
        operations draw none. `carry` moves the targets with flip, quarter turns and crop.

        Raises:
            ConfigError: a transform does not support the images, or changes their shape or type.
        """
        count = len(x)
        if self.flip:
            chosen = (torch.rand(count, generator=generator) < 0.5).to(x.device)
            x, y = flip(x, chosen), carry(y, mirrored(chosen, x.shape[-1]))
        if self.rot90:
            quarters = torch.randint(4, (count,), generator=generator).to(x.device)
            x, y = quarter_turns(x, quarters), carry(y, turned(quarters, x.shape[-1]))
        if self.rotation and count:
            degrees = self.rotation * torch.rand(count, generator=generator)
            # Interpolation weights may add up to slightly more than 1.
            x = rotate(x, degrees.to(x.device)).clamp(0, 1)
        if self.crop:
            offsets = torch.randint(2 * self.crop + 1, (2, count), generator=generator)
            top, left = offsets.to(x.device)
            x = crop(x, self.crop, top, left)
            y = carry(y, shifted(self.crop - left, self.crop - top))
        if self._pipeline and count:
            x = apply_transforms(x, self._pipeline, generator)
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
        index = int(torch.randint(2, (), generator=generator)) if len(mixes) > 1 else 0
        mix, alpha = mixes[index]
        return mix(x, y, alpha, generator)
