"""A case: one network with one code on one batch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..coding.base import Coding
from ..coding.factory import create_coding
from ..core.errors import ConfigError
from ..core.registry import unknown
from .networks import NETWORKS, Layer, NetworkSpec


@dataclass(frozen=True)
class Case:
    """One network with one code on one batch.

    Attributes:
        model: a name in `networks.NETWORKS`.
        in_shape: (C, H, W) of the images.
        classes: number of classes.
        coding: name of a code.
        steps: number of time steps T.
        batch: images in a batch.

    Raises:
        ConfigError: the model or code is unknown, or a number is invalid.
    """

    model: str = "lenet"
    in_shape: tuple[int, int, int] = (3, 32, 32)
    classes: int = 100
    coding: str = "direct"
    steps: int = 4
    batch: int = 64

    def __post_init__(self) -> None:
        if self.model not in NETWORKS:
            raise unknown("model to measure", self.model, list(NETWORKS))
        if len(self.in_shape) != 3 or min(*self.in_shape, self.batch) < 1 or self.classes < 2:
            raise ConfigError(
                f"shape {self.in_shape}, batch {self.batch} and {self.classes} classes "
                "do not make a case",
                remedy="give a shape such as 3x32x32, a batch of 1 or more and 2 classes or more",
            )
        _ = self.encoder  # refuses invalid names and steps

    @cached_property
    def encoder(self) -> Coding:
        """The code, which is the same for every baseline."""
        return create_coding(self.coding, steps=self.steps)

    @property
    def spec(self) -> NetworkSpec:
        """The network."""
        return NETWORKS[self.model]

    @property
    def layers(self) -> list[Layer]:
        """The layers before the readout of a sequential network.

        Raises:
            ValueError: the network is not sequential.
        """
        if self.spec.layers is None:
            raise ValueError(f"{self.model} is not sequential")
        return self.spec.layers(self.in_shape)

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `create_model` for asnn's network."""
        return {
            "name": self.spec.model,
            "in_shape": self.in_shape,
            "classes": self.classes,
            "coding": self.coding,
            "steps": self.steps,
            **self.spec.options,
        }

    def for_comparison(self, batch: int) -> Case:
        """Return the case for the comparison of results: a small batch of small images."""
        channels, *sides = self.in_shape
        height, width = (min(side, self.spec.max_compared_size or side) for side in sides)
        return replace(self, batch=batch, in_shape=(channels, height, width))

    @property
    def stems(self) -> int:
        """Number of first layers of asnn's network: one for each kind of step."""
        mixed = 0 < self.encoder.analog_steps < self.steps
        return 2 if mixed and not self.encoder.sums else 1

    def encoded(self, images: Tensor) -> Tensor:
        """Return the steps `[T, B, C, H, W]` of images, as the first layer of asnn reads them: of
        a code whose steps add up to the image, times T."""
        code = self.encoder.encode(images)
        return self.steps * code if self.encoder.sums else code

    def images(self, seed: int = 0) -> Tensor:
        """Return random images `[B, C, H, W]` in [0, 1]."""
        return torch.rand(self.batch, *self.in_shape, generator=torch.Generator().manual_seed(seed))

    def labels(self, seed: int = 0) -> Tensor:
        """Return random classes `[B]`."""
        return torch.randint(
            self.classes, (self.batch,), generator=torch.Generator().manual_seed(seed)
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return {**asdict(self), "in_shape": list(self.in_shape)}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Case:
        """Return the case of a result of `as_dict`."""
        return cls(**{**fields, "in_shape": tuple(fields["in_shape"])})

    def __str__(self) -> str:
        shape = "×".join(map(str, self.in_shape))
        return f"{self.model} {shape}, {self.coding}, T = {self.steps}, batch {self.batch}"
