"""The average of the weights over the steps of a training."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from ..models.network import SpikingNetwork


class Average:
    """An exponential moving average of a network's weights, itself a network.

        a_n = d_n a_{n-1} + (1 - d_n) w_n        d_n = min(decay, (1 + n) / (10 + n))

    with w_n the weights after step n = 1, 2, ... The decay rises from 2/11, so that the random
    weights of the beginning are soon forgotten; nothing else corrects for them. The running mean
    and variance of batch norms are averaged like weights, for they are to fit these; counters are
    copied. What the average is depends on the weights and n alone.

    Source: the rule of the decay is that of tf.train.ExponentialMovingAverage with `num_updates`;
    statistics are averaged as by timm's ModelEma.

    Args:
        model: the network that is trained; the average begins as its copy.
        decay: in (0, 1), the larger the longer the memory: about 1 / (1 - decay) steps.

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
        """Take in the weights of the trained network after that many steps, counted from 1."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averaged, self._trained, share)  # type: ignore[attr-defined]
        for mine, theirs in zip(self._copied, self._counters, strict=True):
            mine.copy_(theirs)


def _by_kind(model: SpikingNetwork) -> tuple[list[Tensor], list[Tensor]]:
    """Return the tensors of a network that can be averaged, and those that count."""
    tensors = [t.detach() for t in (*model.parameters(), *model.buffers())]
    floats = [t for t in tensors if t.is_floating_point()]
    return floats, [t for t in tensors if not t.is_floating_point()]
