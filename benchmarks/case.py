"""What is measured: one network with one code on one batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from ..coding.base import Coding
from ..coding.factory import create_coding
from ..core.errors import ConfigError
from ..core.registry import unknown

LENET_WIDTHS = (32, 48, 64)
LENET_HIDDEN = 256
MLP_FEATURES = (256, 256)


@dataclass(frozen=True)
class Layer:
    """Affine layer without bias, batch norm, neuron, and a pool where the window is not 1.

    Attributes:
        kind: `conv` is 3×3 with padding 1.
        inputs, outputs: channels or features.
        size: (height, width) of what the affine layer gives; (1, 1) for `linear`.
        window: (height, width) of the max-pool.
    """

    kind: Literal["conv", "linear"]
    inputs: int
    outputs: int
    size: tuple[int, int] = (1, 1)
    window: tuple[int, int] = (1, 1)

    @property
    def pooled(self) -> tuple[int, int]:
        """Height and width behind the pool."""
        return self.size[0] // self.window[0], self.size[1] // self.window[1]


def lenet_layers(in_shape: tuple[int, int, int]) -> list[Layer]:
    """Return the layers of `asnn.models.lenet` in front of its readout."""
    channels, height, width = in_shape
    layers = []
    for outputs in LENET_WIDTHS:
        window = (min(height, 2), min(width, 2))
        layers.append(Layer("conv", channels, outputs, (height, width), window))
        channels, (height, width) = outputs, layers[-1].pooled
    return [*layers, Layer("linear", channels * height * width, LENET_HIDDEN)]


def mlp_layers(in_shape: tuple[int, int, int]) -> list[Layer]:
    """Return the layers of `asnn.models.mlp` in front of its readout."""
    sizes = [in_shape[0] * in_shape[1] * in_shape[2], *MLP_FEATURES]
    return [Layer("linear", a, b) for a, b in pairwise(sizes)]


# The layers are written down once more, so that a contestant needs nothing of asnn's modules; that
# they are still those of asnn is checked before anything is timed.
PLANS: dict[str, Callable[[tuple[int, int, int]], list[Layer]]] = {
    "lenet": lenet_layers,
    "mlp": mlp_layers,
}


@dataclass(frozen=True)
class Case:
    """One network with one code on one batch.

    Attributes:
        model: `lenet` or `mlp`, with their default widths.
        in_shape: (C, H, W) of the images.
        classes: number of classes.
        coding: name of a code.
        steps: number of time steps T.
        batch: images in a batch.

    Raises:
        ConfigError: no such model or code, or a number that is not possible.
    """

    model: str = "lenet"
    in_shape: tuple[int, int, int] = (3, 32, 32)
    classes: int = 100
    coding: str = "direct"
    steps: int = 4
    batch: int = 64

    def __post_init__(self) -> None:
        if self.model not in PLANS:
            raise unknown("model to measure", self.model, list(PLANS))
        if len(self.in_shape) != 3 or min(*self.in_shape, self.batch) < 1 or self.classes < 2:
            raise ConfigError(
                f"shape {self.in_shape}, batch {self.batch} and {self.classes} classes "
                "do not make a case",
                remedy="give a shape such as 3x32x32, a batch of 1 or more and 2 classes or more",
            )
        _ = self.encoder  # refuses names and steps that are not possible

    @cached_property
    def encoder(self) -> Coding:
        """The code, which every contestant is fed from."""
        return create_coding(self.coding, steps=self.steps)

    @property
    def layers(self) -> list[Layer]:
        """The layers in front of the readout."""
        return PLANS[self.model](self.in_shape)

    @property
    def stems(self) -> int:
        """How many first layers the network of the paper has: one for each kind of step."""
        return 2 if 0 < self.encoder.analog_steps < self.steps else 1

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
        """Return the case that `as_dict` told."""
        return cls(**{**fields, "in_shape": tuple(fields["in_shape"])})

    def __str__(self) -> str:
        shape = "×".join(map(str, self.in_shape))
        return f"{self.model} {shape}, {self.coding}, T = {self.steps}, batch {self.batch}"
