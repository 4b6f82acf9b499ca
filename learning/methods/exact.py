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
    batch, a constant is subtracted from the gradient of each of its weights, so that they grow; so
    it is from those of an output that is silent where it should answer, however seldom that is.
    Without the latter a network can learn to answer nothing at all: early outputs that are wrong
    have a gradient, and silent ones that are right have none.

    A gradient of a time explodes where a neuron barely reaches its threshold: each ∂L/∂t is
    clipped. The norm of the whole step is clipped by `train.clip_norm`. A bound below 1/τ of the
    readout `earliest` clips the outputs themselves: all are then pushed alike, the many wrong ones
    to later times, until nothing fires.

    Args:
        push: what is subtracted; 0 for nothing.
        silent_share: of the samples of a batch.
        push_answers: what is subtracted from those of a silent right output, times its share of the
            batch; 0 for nothing.
        clip_times: the bound of each ∂L/∂t, times the number of samples of the batch, since the
            loss is their mean; None for no bound.

    Raises:
        ConfigError: an option out of range.

    Source: arXiv 2003.11837.
    """

    name = "exact"

    def __init__(
        self,
        *,
        push: float = 1e-4,
        silent_share: float = 0.9,
        push_answers: float = 1.0,
        clip_times: float | None = 100.0,
    ) -> None:
        for key, value in {"push": push, "push_answers": push_answers}.items():
            if not 0 <= value < float("inf"):
                raise ConfigError(f"{key} must be 0 or more, not {value}")
        if not 0 <= silent_share < 1:
            raise ConfigError(f"silent_share must be from 0 to below 1, not {silent_share}")
        if clip_times is not None and not 0 < clip_times < float("inf"):
            raise ConfigError(f"clip_times must be above 0, not {clip_times}")
        self.push, self.silent_share = push, silent_share
        self.push_answers, self.clip_times = push_answers, clip_times

    def check(self, training: Any) -> None:
        if not timing_layers(training.model):
            raise ConfigError(
                "the method exact is for networks of exact times, not "
                f"{training.recipe.model.name}",
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
        layers = timing_layers(training.model)
        costs = []
        for name, layer in layers.items():
            silent = silent_neurons(layer, self._outputs[name], self.silent_share)
            costs.append(-self.push * layer.matrix[silent].sum())
        if training.task.one_class and self.push_answers:
            share = silent_answers(outputs, targets)
            weights = next(reversed(layers.values())).matrix.sum(1)
            costs.append(-self.push_answers * (share.to(weights) * weights).sum())
        cost = torch.stack(costs).sum()
        return loss + (cost - cost.detach())  # its gradient alone


def silent_neurons(layer: TimingLayer, output: Tensor, share: float) -> Tensor:
    """Return which neurons do not fire in more than a share of the batch, `[M]`; of convolutions,
    of the batch and all places."""
    silent = layer.groups(output.detach())[..., 0].isinf()
    return silent.double().mean(0) > share


def silent_answers(outputs: Tensor, targets: Targets) -> Tensor:
    """Return the share of the batch in which an output is silent and should answer, `[K]`.

    Args:
        outputs: of the network, `[1, B, K]`, -inf where one is silent.
        targets: the classes of the samples.
    """
    silent = outputs.detach()[0].isinf()
    classes = torch.arange(silent.shape[1], device=silent.device)
    wanted = torch.zeros(silent.shape, dtype=torch.float64, device=silent.device)
    share: Any = targets.weight
    for label, weight in ((targets.first, share), (targets.second, 1 - share)):
        wanted += weight * (label.unsqueeze(1) == classes)
    return (wanted * silent).mean(0)


@contextmanager
def clipped(model: torch.nn.Module, bound: float | None) -> Iterator[None]:
    """Clip each gradient of an output time to ±bound while the context is open."""

    limit = float("inf") if bound is None else bound

    def clip(output: Tensor) -> None:
        if output.requires_grad:
            output.register_hook(lambda grad: grad.clamp(-limit, limit))

    layers = [] if bound is None else list(timing_layers(model).values())
    for layer in layers:
        layer.taps.append(clip)
    try:
        yield
    finally:
        for layer in layers:
            layer.taps.remove(clip)
