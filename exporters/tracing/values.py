"""The values in a captured forward, as the importer represents them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

Path = tuple[Any, ...]
ALL: Literal["all"] = "all"
Step = int | Literal["all"] | None
Axis = str | int | None
"""An axis of a tensor: `T`, `B`, both as one (`TB`, or `BT` if steps run fastest), the number of an
axis of a sample, or None of an axis of size 1 that is none of these."""
Axes = tuple[Axis, ...]


@dataclass(frozen=True)
class Signal:
    """The value of a layer.

    Attributes:
        layer: its name, or `input`.
        step: its time step; None if it depends on an image alone, at every step the same; `all` for
            all steps.
        axes: what the axes of the tensor are.
    """

    layer: str
    step: Step
    axes: Axes


@dataclass(frozen=True)
class Reduced:
    """The values of all steps, reduced to one.

    Attributes:
        signal: the values.
        kind: `mean` of each step times its factor, or the `last` times a factor.
        factors: of each step, or of all.
    """

    signal: Signal
    kind: Literal["mean", "last"]
    factors: tuple[float, ...] = (1.0,)


@dataclass(frozen=True)
class Several:
    """The values of some of the steps, in order.

    Attributes:
        of: the values of all steps, or a state of a neuron after all.
        steps: which.
    """

    of: Signal | State
    steps: tuple[int, ...]


@dataclass(frozen=True)
class State:
    """A state of a neuron after a step, such as its membrane.

    Attributes:
        neuron: the layer of its spikes.
        index: which one of the values that the neuron returns; spikes are number 0.
        step: after which; `all` for all steps.
        axes: what the axes of the tensor are.
    """

    neuron: str
    index: int
    step: Step
    axes: Axes


@dataclass(frozen=True)
class Const:
    """A value that does not depend on the input.

    Attributes:
        tensor: its value.
        key: equal for equal values.
        call: the layer that computed it from constants, the first of which is 0: a state before the
            first step. None for others.
    """

    tensor: Tensor = field(compare=False)
    key: str
    call: tuple[Any, tuple[Any, ...]] | None = field(default=None, compare=False)

    @staticmethod
    def of(tensor: Tensor, call: Any = None) -> Const:
        """Return a value that has no name."""
        tensor = tensor.detach().cpu().contiguous()
        data = tensor.flatten().view(torch.uint8) if tensor.numel() else tensor
        digest = hashlib.sha256(data.numpy().tobytes()).hexdigest()
        return Const(tensor, f"{tensor.dtype} {list(tensor.shape)} {digest}", call)

    @property
    def is_zero(self) -> bool:
        return not bool(self.tensor.any())


@dataclass(frozen=True)
class Collected:
    """A tensor of zeros, some steps of which the forward has set.

    Attributes:
        of: value by step, in any order.
        steps: the size of the axis of the steps.
        dim: the axis of the steps.
    """

    of: tuple[tuple[int, Signal | State], ...]
    steps: int
    dim: int
