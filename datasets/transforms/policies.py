"""torchvision's transforms v2 by name, AutoAugment and RandAugment, on one image at a time."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from ...core.errors import ConfigError
from ...core.registry import unknown
from ..sources.images.torchvision_import import torchvision

UNSUPPORTED = {
    "MixUp": "it needs labels; use mixup=true",
    "CutMix": "it needs labels; use cutmix=true",
    "Compose": "list the transforms one after another instead",
    "RandomApply": "it contains other transforms",
    "RandomChoice": "it contains other transforms",
    "RandomOrder": "it contains other transforms",
    "Lambda": "it contains a function",
}
POLICIES = ("cifar10", "imagenet", "svhn")
MAX_MAGNITUDE = 10


def create_transform(entry: str | dict[str, Any]) -> Any:
    """Return the transform of a name, or of a table with `name` and arguments.

    Raises:
        ConfigError: an unknown or unsupported name, or invalid arguments.
    """
    arguments = {"name": entry} if isinstance(entry, str) else dict(entry)
    name: Any = arguments.pop("name", None)
    v2 = torchvision().transforms.v2
    names = [
        key
        for key, value in vars(v2).items()
        if isinstance(value, type) and issubclass(value, v2.Transform) and value is not v2.Transform
    ]
    if isinstance(name, str) and name in UNSUPPORTED:
        raise ConfigError(f"transform {name} cannot be used here", why=UNSUPPORTED[name])
    if name not in names:
        raise unknown("transform", name, sorted(set(names) - UNSUPPORTED.keys()))
    try:
        return getattr(v2, name)(**arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"transform {name} cannot be created", why=str(error)) from error


def rand_augment(operations: int, magnitude: int) -> Any:
    """Return torchvision's RandAugment: `operations` out of 14, all with one magnitude.

    The magnitude is 0 to 10 as in the paper and in timm; torchvision's default scale ends at 30.

    Source: arXiv 1909.13719.
    """
    v2 = torchvision().transforms.v2
    return v2.RandAugment(
        operations,
        magnitude,
        MAX_MAGNITUDE + 1,
        interpolation=v2.InterpolationMode.BILINEAR,
    )


def auto_augment(policy: str) -> Any:
    """Return torchvision's AutoAugment with the policy of a data set.

    Raises:
        ConfigError: an unknown policy.

    Source: arXiv 1805.09501.
    """
    if policy not in POLICIES:
        raise unknown("autoaugment policy", policy, list(POLICIES))
    v2 = torchvision().transforms.v2
    return v2.AutoAugment(v2.AutoAugmentPolicy(policy), interpolation=v2.InterpolationMode.BILINEAR)


def apply_transforms(x: Tensor, pipeline: Sequence[Any], generator: Generator | None) -> Tensor:
    """Return images `[B, C, H, W]` after all transforms of the pipeline.

    torchvision's transforms use torch's global generators, which are seeded from `generator` (on
    the CPU) and restored afterwards.

    Raises:
        ConfigError: a transform does not support the images, or changes their shape or type.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    images = []
    with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
        torch.manual_seed(seed)
        for image in x:
            for transform in pipeline:
                before, image = image, _apply(transform, image)
                if image.shape != before.shape or image.dtype != before.dtype:
                    raise ConfigError(
                        f"transform {type(transform).__name__} cannot be used here",
                        why=f"it makes {tuple(image.shape)} {image.dtype} of "
                        f"{tuple(before.shape)} {before.dtype}",
                        remedy="use transforms that keep the shape and the type of an image",
                    )
            images.append(image)
    return torch.stack(images)


def _apply(transform: Any, image: Tensor) -> Tensor:
    try:
        return transform(image)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(
            f"transform {type(transform).__name__} cannot be used here",
            why=f"on an image {tuple(image.shape)}: {error}",
        ) from error
