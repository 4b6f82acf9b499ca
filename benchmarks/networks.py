"""The networks of the benchmarks, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, Literal

LENET_WIDTHS = (32, 48, 64)
LENET_HIDDEN = 256
SMALL_WIDTHS, SMALL_HIDDEN = (16, 32), 128
MLP_FEATURES = (256, 256)


@dataclass(frozen=True)
class Layer:
    """Affine layer without bias, batch norm, neuron, and a max-pool if the window is not 1.

    Attributes:
        kind: `conv` is 3×3 with padding 1.
        inputs, outputs: channels or features.
        size: (height, width) of the output of the affine layer; (1, 1) for `linear`.
        window: (height, width) of the max-pool.
    """

    kind: Literal["conv", "linear"]
    inputs: int
    outputs: int
    size: tuple[int, int] = (1, 1)
    window: tuple[int, int] = (1, 1)

    @property
    def pooled(self) -> tuple[int, int]:
        """Height and width after the pool."""
        return self.size[0] // self.window[0], self.size[1] // self.window[1]


def lenet_layers(
    in_shape: tuple[int, int, int],
    widths: tuple[int, ...] = LENET_WIDTHS,
    hidden: int = LENET_HIDDEN,
) -> list[Layer]:
    """Return the layers of `asnn.models.networks.lenet` before the readout."""
    channels, height, width = in_shape
    layers = []
    for outputs in widths:
        window = (min(height, 2), min(width, 2))
        layers.append(Layer("conv", channels, outputs, (height, width), window))
        channels, (height, width) = outputs, layers[-1].pooled
    return [*layers, Layer("linear", channels * height * width, hidden)]


def mlp_layers(in_shape: tuple[int, int, int]) -> list[Layer]:
    """Return the layers of `asnn.models.networks.mlp` before the readout."""
    sizes = [in_shape[0] * in_shape[1] * in_shape[2], *MLP_FEATURES]
    return [Layer("linear", a, b) for a, b in pairwise(sizes)]


@dataclass(frozen=True)
class NetworkSpec:
    """A network of `create_model`, and what other libraries need to build it.

    Attributes:
        model: the name of its architecture.
        options: of that architecture.
        layers: for a sequential network, its layers for a shape of images; baselines build it from
            them without asnn's modules. None for other networks, which each baseline builds in its
            own way.
        max_compared_size: limits height and width of the images for the comparison of results, if
            no weight depends on the size of an image; None for the timed size. With millions of
            neurons some membrane is within rounding of its threshold in every draw, and its flip
            would hide agreement.
    """

    model: str
    options: dict[str, Any] = field(default_factory=dict)
    layers: Callable[[tuple[int, int, int]], list[Layer]] | None = None
    max_compared_size: int | None = None


# `equal_work` checks that these layers, and the weights of other networks, are those of asnn
# before anything is timed.
NETWORKS = {
    "lenet": NetworkSpec("lenet", layers=lenet_layers),
    "lenet-16-32": NetworkSpec(
        "lenet",
        {"widths": list(SMALL_WIDTHS), "hidden": SMALL_HIDDEN},
        layers=partial(lenet_layers, widths=SMALL_WIDTHS, hidden=SMALL_HIDDEN),
    ),
    "mlp": NetworkSpec("mlp", layers=mlp_layers),
    "ms-resnet18": NetworkSpec("ms-resnet", {"depth": 18, "width": 64}, max_compared_size=8),
    # A quarter of the channels, for machines on which ms-resnet18 takes seconds per step.
    "ms-resnet18-16": NetworkSpec("ms-resnet", {"depth": 18, "width": 16}, max_compared_size=8),
    "spikformer": NetworkSpec("spikformer", {"size": "2-128"}, max_compared_size=8),
    "spiking-yolo": NetworkSpec("spiking-yolo", max_compared_size=16),
}
