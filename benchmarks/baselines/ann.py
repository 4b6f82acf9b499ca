"""The ANN counterpart, with ReLU for neurons, of networks that are not sequential.

Its convolutions are torch's, time is folded into the batch and images are channels-last. With a
static code the layers before the first ReLU run once, and all others T times.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...models import create_model, use_kernels
from ...models.layers.spiking import SpikingLayer
from ...models.layers.time import over_time
from ..case import Case
from .base import Network


class AnnCounterpart(Network):
    """The ANN counterpart of a case, with as many stems as asnn's network.

    Args:
        case: the network to build.
        matched: not used.
    """

    def __init__(self, case: Case, *, matched: bool = False) -> None:
        super().__init__()
        self.model = create_model(**case.arguments, output_scale=False)
        use_kernels(self.model, "reference")
        for parent in list(self.model.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, SpikingLayer):
                    setattr(parent, name, _ReluLayer(child))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> Tensor:
        return self.model.mean_logits(images)


class _ReluLayer(nn.Module):
    """The norm and the pool of a spiking layer, and a ReLU between them."""

    def __init__(self, layer: SpikingLayer) -> None:
        super().__init__()
        self.norm = layer.norm
        self.pool = layer.pool

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(x if self.norm is None else self.norm(x))
        return x if self.pool is None else over_time(self.pool, x)
