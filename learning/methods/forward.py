"""The network as training calls it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...coding.samples import Batch
from ...models.network import SpikingNetwork


class TrainableForward(nn.Module):
    """Both ways to call a network in one `forward`, for DistributedDataParallel to wrap."""

    def __init__(self, model: SpikingNetwork) -> None:
        super().__init__()
        self.model = model
        # DistributedDataParallel with find_unused_parameters warns if none is unused.
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, x: Batch, mean: bool) -> Tensor:
        return self.model.mean_logits(x).unsqueeze(0) if mean else self.model(x)
