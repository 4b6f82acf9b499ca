"""What is exported: a frozen graph, its code, and the network that it was made of."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..coding.base import Coding
from ..models.layers.spiking import SpikingLayer, use_kernels
from ..models.network import SpikingNetwork
from .graph.ir import Array, Graph
from .graph.lowering import freeze_network

BATCH = 64


class Answer(NamedTuple):
    """What a network gives.

    Attributes:
        logits: of each step `[T, B, K]`.
        spikes: of each layer `[T, B, ...]`, by the name that the graph has for it; None where the
            network does not tell.
    """

    logits: Tensor
    spikes: dict[str, Tensor] | None = None


@dataclass(frozen=True)
class ExportSource:
    """A network on its way out.

    Attributes:
        graph: what exporters write and verifications compare with.
        coding: makes the steps that the graph reads out of images.
        eager: the network itself, on a code `[T, B, C, H, W]`.
    """

    graph: Graph
    coding: Coding
    eager: Callable[[Tensor], Answer]

    def encode(self, images: Array) -> Array:
        """Return the code of images, `[T, B, C, H, W]`."""
        return self.coding.encode(torch.from_numpy(images)).numpy()

    def with_graph(self, graph: Graph) -> ExportSource:
        """Return the subject with another graph in place of its own."""
        return replace(self, graph=graph)


def source_of(model: SpikingNetwork, about: dict[str, Any] | None = None) -> ExportSource:
    """Return a trained network as a subject; the network itself is left as it is.

    Raises:
        ConfigError: the graph cannot say what a layer does.
    """
    model = copy.deepcopy(model).cpu().float().eval()
    use_kernels(model, "reference")  # what the fused kernels are held to as well
    spikes: dict[str, Tensor] = {}
    for name, layer in model.body.named_modules():
        if isinstance(layer, SpikingLayer):
            layer.neuron.register_forward_hook(_keeper(spikes, name))

    def eager(code: Tensor) -> Answer:
        with torch.no_grad():
            return Answer(model.run(code), dict(spikes))

    return ExportSource(freeze_network(model, about), model.coding, eager)


def _keeper(kept: dict[str, Tensor], name: str) -> Callable[[Any, Any, Tensor], None]:
    def keep(_: Any, __: Any, output: Tensor) -> None:
        kept[name] = output

    return keep


@dataclass(frozen=True)
class Samples:
    """Images with their classes, to verify with.

    Attributes:
        images: `[N, C, H, W]`, float32, from 0 to 1.
        labels: `[N]`, or None where nobody knows them.
        name: where they come from.
    """

    images: Array
    labels: Array | None
    name: str

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int = BATCH) -> Iterator[tuple[Array, slice]]:
        """Give the images in batches of `size`, each with its place."""
        for begin in range(0, len(self.images), size):
            place = slice(begin, begin + size)
            yield np.ascontiguousarray(self.images[place], np.float32), place


def random_samples(shape: tuple[int, ...], number: int = 64, seed: int = 0) -> Samples:
    """Return samples of uniform noise, for a network that has no data."""
    images = np.random.default_rng(seed).random((number, *shape), np.float32)
    return Samples(images, None, f"uniform noise (seed {seed})")
