"""torchvision's transforms (v2) by name, and its two policies of many: one image at a time."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from ...core.errors import ConfigError
from ...core.registry import unknown
from ..sources.torchvision_import import torchvision

UNFIT = {
    "MixUp": "it needs labels; use mixup=true",
    "CutMix": "it needs labels; use cutmix=true",
    "Compose": "list the transforms one after another instead",
    "RandomApply": "it contains other transforms",
    "RandomChoice": "it contains other transforms",
    "RandomOrder": "it contains other transforms",
    "Lambda": "it contains a function",
}
POLICIES = ("cifar10", "imagenet", "svhn")
STRONGEST = 10


def named_transform(entry: str | dict[str, Any]) -> Any:
    """Return the transform that a name, or a table with `name` and its arguments, describes.

    Raises:
        ConfigError: there is none of that name, or it cannot be made or used here.
    """
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


def rand_augment(operations: int, magnitude: int) -> Any:
    """Return torchvision's RandAugment: so many operations out of 14, all of one magnitude.

    The magnitude counts from 0 to 10, the strongest, as in the paper and in timm; torchvision
    itself counts to 30 unless it is told otherwise.

    Source: arXiv 1909.13719.
    """
    v2 = torchvision().transforms.v2
    return v2.RandAugment(
        operations,
        magnitude,
        STRONGEST + 1,
        interpolation=v2.InterpolationMode.BILINEAR,
    )


def auto_augment(policy: str) -> Any:
    """Return torchvision's AutoAugment with the policy that was found on a data set.

    Raises:
        ConfigError: there is no such policy.

    Source: arXiv 1805.09501.
    """
    if policy not in POLICIES:
        raise unknown("autoaugment policy", policy, list(POLICIES))
    v2 = torchvision().transforms.v2
    return v2.AutoAugment(v2.AutoAugmentPolicy(policy), interpolation=v2.InterpolationMode.BILINEAR)


def transformed(x: Tensor, pipeline: Sequence[Any], generator: Generator | None) -> Tensor:
    """Return images `[B, C, H, W]`, each put through all transforms of the pipeline.

    torchvision's transforms know only torch's global generators: these are seeded from
    `generator` (on the CPU) for the time, and put back.

    Raises:
        ConfigError: a transform cannot take such images, or changes their shape or type.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    images = []
    with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
        torch.manual_seed(seed)
        for image in x:
            for transform in pipeline:
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
