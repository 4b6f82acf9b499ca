"""Which networks can be measured, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

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
    """Return the layers of `asnn.models.networks.lenet` in front of its readout."""
    channels, height, width = in_shape
    layers = []
    for outputs in LENET_WIDTHS:
        window = (min(height, 2), min(width, 2))
        layers.append(Layer("conv", channels, outputs, (height, width), window))
        channels, (height, width) = outputs, layers[-1].pooled
    return [*layers, Layer("linear", channels * height * width, LENET_HIDDEN)]


def mlp_layers(in_shape: tuple[int, int, int]) -> list[Layer]:
    """Return the layers of `asnn.models.networks.mlp` in front of its readout."""
    sizes = [in_shape[0] * in_shape[1] * in_shape[2], *MLP_FEATURES]
    return [Layer("linear", a, b) for a, b in pairwise(sizes)]


@dataclass(frozen=True)
class Plan:
    """A network of `create_model`, and what others need to know to build it.

    Attributes:
        model: its name there.
        options: its options there.
        layers: of a network that is a line of layers, the line for a shape of images; a contestant
            builds it from that and needs nothing of asnn's modules. None for a network with other
            connections, whose contestants each know its form.
        largest_compared: height and width of the images on which results are compared, at most;
            None for those that are timed. Only where no weight depends on the size of an image:
            the more neurons there are, the likelier is a membrane within rounding of its
            threshold, and millions of them would hide agreement behind a flip in every draw.
    """

    model: str
    options: dict[str, Any] = field(default_factory=dict)
    layers: Callable[[tuple[int, int, int]], list[Layer]] | None = None
    largest_compared: int | None = None


# The lines are written down once more here; that they are still those of asnn, and that other
# networks have asnn's weights, is checked before anything is timed.
PLANS = {
    "lenet": Plan("lenet", layers=lenet_layers),
    "mlp": Plan("mlp", layers=mlp_layers),
    "ms-resnet18": Plan("ms-resnet", {"depth": 18, "width": 64}, largest_compared=8),
    # A quarter of the channels, for machines on which the former takes seconds a step.
    "ms-resnet18-16": Plan("ms-resnet", {"depth": 18, "width": 16}, largest_compared=8),
    "spikformer": Plan("spikformer", {"size": "2-128"}, largest_compared=8),
}
