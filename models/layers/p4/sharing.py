"""Norms, neurons and synapses whose parameters are shared by the four rotations."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from itertools import chain

import torch
from torch import Tensor, nn

from ...layer import Layer
from ...stepwise import Step, stepper

ROTATIONS = 4
Make = Callable[[int], nn.Module]
"""Builds a layer for a number of channels."""


def side_by_side(x: Tensor) -> Tensor:
    """Return `[T, B, 4 C, H, W]` as images of C channels, `[T, B, C, H, 4 W]`.

    Of tensors in channels_last memory format it is a view: the fused kernels read it as it is.
    """
    steps, batch, channels, height, width = x.shape
    rows = x.permute(0, 1, 3, 4, 2)
    shape = (steps, batch, height, ROTATIONS * width, channels // ROTATIONS)
    return rows.reshape(shape).permute(0, 1, 4, 2, 3)


def stacked(x: Tensor) -> Tensor:
    """Return `[T, B, C, H, 4 W]` as `[T, B, 4 C, H, W]`, the inverse of `side_by_side`."""
    steps, batch, channels, height, width = x.shape
    rows = x.permute(0, 1, 3, 4, 2)
    shape = (steps, batch, height, width // ROTATIONS, ROTATIONS * channels)
    return rows.reshape(shape).permute(0, 1, 4, 2, 3)


class Both:
    """A layer of C channels, and the form that it has with 4 C.

    Args:
        make: builds the layer.
        channels: C.

    Attributes:
        own: the layer of C channels, which learns.
    """

    def __init__(self, make: Make, channels: int) -> None:
        self.own = make(channels)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the same as of the first
            self._wide = make(ROTATIONS * channels)

    def expanded(self) -> nn.Module:
        """Return the layer of 4 C channels that computes the same with parameters of its own."""
        found = copy.deepcopy(self._wide)
        values = chain(self.own.parameters(), self.own.buffers())
        like = next((value for value in values if value.is_floating_point()), None)
        if like is not None:
            found.to(like)
        shapes = {key: value.shape for key, value in found.state_dict().items()}
        state = self.own.state_dict()
        found.load_state_dict({key: _repeated(state[key], shapes[key]) for key in state})
        for part, other in zip(self.own.modules(), found.modules(), strict=True):
            if "kernels" in vars(part):
                other.kernels = part.kernels
        return found.train(self.own.training)


def _repeated(value: Tensor, shape: torch.Size) -> Tensor:
    """Return a tensor in the shape for four times the channels: by channel, it is repeated."""
    return value.repeat([wide // own for wide, own in zip(shape, value.shape, strict=True)])


class Shared(Layer):
    """A norm or a synapse of C channels for all four rotations: `[T, B, 4 C, H, W]` to the same.

    Args:
        make: builds it.
        channels: C.
    """

    def __init__(self, make: Make, channels: int) -> None:
        super().__init__()
        self._both = Both(make, channels)
        self.layer = self._both.own

    def forward(self, x: Tensor) -> Tensor:
        return stacked(self.layer(side_by_side(x)))

    def stepper(self) -> Step:
        step = stepper(self.layer)
        return lambda x: stacked(step(side_by_side(x.unsqueeze(0))[0]).unsqueeze(0))[0]

    def expanded(self) -> nn.Module:
        """Return the layer for 4 C channels that computes the same."""
        return self._both.expanded()
