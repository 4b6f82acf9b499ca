"""The exponential moving average of the weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from ..models.network import SpikingNetwork


class Average:
    """An exponential moving average of the weights of a network, itself a network.

        a_n = d_n a_{n-1} + (1 - d_n) w_n        d_n = min(decay, (1 + n) / (10 + n))

    with w_n the weights after step n = 1, 2, ... The decay rises from 2/11, so the random initial
    weights are soon forgotten; there is no other correction for them. Running means and variances
    of batch norms are averaged like weights, so that they fit them; counters are copied.

    Source: the decay is that of tf.train.ExponentialMovingAverage with `num_updates`; statistics
    are averaged as in timm's ModelEma.

    Args:
        model: the trained network; the average starts as its copy.
        decay: in (0, 1); the average covers about 1 / (1 - decay) steps.

    Attributes:
        model: the network with the averaged weights, in evaluation mode.
    """

    def __init__(self, model: SpikingNetwork, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self._averaged, self._copied = _by_kind(self.model)
        self._trained, self._counters = _by_kind(model)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update with the weights of the trained network after `step`, counted from 1."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averaged, self._trained, weight)  # type: ignore[attr-defined]
        for copied, counter in zip(self._copied, self._counters, strict=True):
            copied.copy_(counter)


def _by_kind(model: SpikingNetwork) -> tuple[list[Tensor], list[Tensor]]:
    """Return the tensors of a network that can be averaged, and its counters."""
    tensors = [t.detach() for t in (*model.parameters(), *model.buffers())]
    floats = [t for t in tensors if t.is_floating_point()]
    return floats, [t for t in tensors if not t.is_floating_point()]
