"""Learning by the exact gradients of spike times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ...coding.samples import Batch
from ...core.errors import ConfigError
from ...datasets.transforms.mixing import Targets
from ...models.layers.spiking import layer_outputs
from ...models.timing.layer import TimingLayer, timing_layers
from .bptt import Bptt


class Exact(Bptt):
    """The gradient of the loss through exact spike times, and a push for silent neurons.

    A neuron that does not fire has no gradient. If it is silent in more than a share of the
    batch, a constant is subtracted from the gradient of each of its weights, so that they grow.
    A gradient of a time explodes where a neuron barely reaches its threshold: each ∂L/∂t is
    clipped. The norm of the whole step is clipped by `train.clip_norm`.

    Args:
        push: what is subtracted; 0 for nothing.
        silent_share: of the samples of a batch.
        clip_times: the bound of each ∂L/∂t, times the number of samples of the batch, since the
            loss is their mean; None for no bound.

    Raises:
        ConfigError: an option out of range.

    Source: arXiv 2003.11837.
    """

    name = "exact"

    def __init__(
        self, *, push: float = 1e-4, silent_share: float = 0.9, clip_times: float | None = 1.0
    ) -> None:
        if not 0 <= push < float("inf"):
            raise ConfigError(f"push must be 0 or more, not {push}")
        if not 0 <= silent_share < 1:
            raise ConfigError(f"silent_share must be from 0 to below 1, not {silent_share}")
        if clip_times is not None and not 0 < clip_times < float("inf"):
            raise ConfigError(f"clip_times must be above 0, not {clip_times}")
        self.push, self.silent_share, self.clip_times = push, silent_share, clip_times

    def check(self, training: Any) -> None:
        if not timing_layers(training.model):
            raise ConfigError(
                f"the method exact is for networks of exact times, not {training.recipe.model.name}",
                why="it learns by the gradients of spike times",
                remedy="set model.name=timing-mlp or timing-conv, or method.name=bptt",
            )
        if training.recipe.train.precision != "float32":
            raise ConfigError(
                f"train.precision={training.recipe.train.precision} has no effect on exact times",
                why="they are computed in float64",
                remedy="leave train.precision out",
            )
        super().check(training)

    def backward(
        self, training: Any, x: Batch, targets: Targets, weight: float
    ) -> tuple[Tensor, Tensor]:
        bound = None if self.clip_times is None else weight * self.clip_times / len(x)
        with self._watched(training, bound):
            return super().backward(training, x, targets, weight)

    @contextmanager
    def _watched(self, training: Any, bound: float | None) -> Iterator[None]:
        with layer_outputs(training.model) as self._outputs, clipped(training.model, bound):
            yield
        self._outputs = {}

    def loss(self, training: Any, outputs: Tensor, x: Batch, targets: Targets) -> Tensor:
        loss = super().loss(training, outputs, x, targets)
        if not self.push:
            return loss
        for name, layer in timing_layers(training.model).items():
            silent = silent_neurons(layer, self._outputs[name], self.silent_share)
            cost = -self.push * layer.matrix[silent].sum()
            loss = loss + (cost - cost.detach())  # its gradient alone
        return loss


def silent_neurons(layer: TimingLayer, output: Tensor, share: float) -> Tensor:
    """Return which neurons do not fire in more than a share of the batch, `[M]`; of convolutions,
    of the batch and all places."""
    silent = layer.groups(output.detach())[..., 0].isinf()
    return silent.double().mean(0) > share


@contextmanager
def clipped(model: torch.nn.Module, bound: float | None) -> Iterator[None]:
    """Clip each gradient of an output time to ±bound while the context is open."""

    def clip(output: Tensor) -> None:
        if bound is not None and output.requires_grad:
            output.register_hook(lambda grad: grad.clamp(-bound, bound))

    layers = list(timing_layers(model).values())
    for layer in layers:
        layer.taps.append(clip)
    try:
        yield
    finally:
        for layer in layers:
            layer.taps.remove(clip)
