"""Deep continuous local learning: every layer learns from a fixed random readout of its own."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot, smooth_l1_loss

from ....core.errors import ConfigError
from ....core.registry import unknown
from ....models.network import SpikingNetwork
from ....models.stepwise import Step, chained
from ....tasks.step_classification import UNLABELLED
from ...device import derived_seed
from .base import Learned, Online, Rule

READOUTS = 1  # part of the seed of the local readouts
Loss = Literal["cross-entropy", "smooth-l1"]


class Decolle(Online):
    """Layers that learn from local losses at every step (DECOLLE).

    Layer l has a fixed random readout G_l ~ U(-a/√n, a/√n) of its n spikes, and a loss

        L_t = Σ_l loss(G_l s^l_t, y_t) + rate_cost Σ_l max(0, mean(s^l_t) - rate)²

    whose gradient reaches the weights of that layer alone, by its input of the step:
    ∂L_t/∂W_l = (G_lᵀ e ∘ surrogate'(u_t)) P_tᵀ, with P_t the traces of `[synapse]`. Samples without
    a class at a step have no loss there; the others are summed and divided by the batch.

    The readout of the network is that of the last layer: it keeps random weights too.

    Args:
        burn_in, every: as of `Online`.
        loss: `cross-entropy` of the outputs and the class, or `smooth-l1` of the outputs and 1 for
            the class, 0 for the others.
        readout_scale: a.
        rate_cost: weight of the cost of rates.
        rate: share of neurons that fire in a step, above which it begins.

    Raises:
        ConfigError: an option out of range.

    Source: Kaiser, Mostafa and Neftci, arXiv 1811.10766; as in arXiv 2010.14217.
    """

    name = "decolle"

    def __init__(
        self,
        *,
        burn_in: int = 0,
        every: int = 1,
        loss: Loss = "cross-entropy",
        readout_scale: float = 2.0,
        rate_cost: float = 0.0,
        rate: float = 0.1,
    ) -> None:
        super().__init__(burn_in=burn_in, every=every)
        if loss not in get_args(Loss):
            raise unknown("loss", loss, list(get_args(Loss)))
        if not 0 < readout_scale < math.inf:
            raise ConfigError(f"readout_scale must be above 0, not {readout_scale}")
        if not 0 <= rate_cost < math.inf:
            raise ConfigError(f"rate_cost must be 0 or more, not {rate_cost}")
        if not 0 <= rate <= 1:
            raise ConfigError(f"rate must be from 0 to 1, not {rate}")
        self.loss, self.readout_scale = loss, readout_scale
        self.rate_cost, self.rate = rate_cost, rate
        self.readouts: list[Tensor] = []

    def bind(self, model: SpikingNetwork, train: Any) -> None:
        """Take the network, and give its readout random weights that stay."""
        super().bind(model, train)
        if not self.blocks.hidden:
            raise ConfigError(
                "decolle teaches layers of neurons, and this network has none",
                remedy="add layers, such as model.features=[128]",
            )
        linear = self.blocks.readout.linear
        linear.requires_grad_(False)
        draw = torch.Generator().manual_seed(derived_seed(train.seed, READOUTS))
        linear.weight.data.copy_(self._draw(linear.weight.shape, draw))
        linear.bias.data.zero_()
        device, classes = linear.weight.device, len(linear.weight)
        self.readouts = [
            self._draw((classes, width), draw).to(device) for width in self._widths(model)[:-1]
        ]

    def start(self, training: Any, batch: int) -> Rule:
        hidden: list[Step] = [chained(layers) for layers in self.blocks.hidden.values()]
        local: list[Step] = [partial(_read, readout) for readout in self.readouts]
        tail = chained(self.blocks.tail)

        def rule(x: Tensor, y: Tensor, share: float) -> Learned:
            losses, outputs = [], []
            with torch.set_grad_enabled(share > 0):
                for step, read in zip(hidden, [*local, tail], strict=True):
                    spikes = step(x)
                    outputs.append(read(spikes))
                    losses.append(self._loss(outputs[-1], y, spikes))
                    x = spikes.detach()
            total = torch.stack(losses).sum()
            if share:
                (total * share).backward()
            return Learned(total.detach(), outputs[-1].detach())

        return rule

    def state(self) -> dict[str, Any]:
        return {"readouts": self.readouts}

    def restore(self, state: dict[str, Any]) -> None:
        saved = state.get("readouts", [])
        if [each.shape for each in saved] != [each.shape for each in self.readouts]:
            raise ValueError("its local readouts are those of another network")
        for readout, each in zip(self.readouts, saved, strict=True):
            readout.copy_(each)

    def _widths(self, model: SpikingNetwork) -> list[int]:
        """Return how many spikes each layer sends in a step.

        Raises:
            ConfigError: no gradient reaches the weights of a layer, or it cannot be run stepwise.
        """
        assert model.step_shape is not None, "networks of recipes have samples"
        x = torch.zeros(1, *model.step_shape, device=next(model.parameters()).device)
        widths = []
        for name, layers in self.blocks.hidden.items():
            spikes = chained(layers)(x)
            if not spikes.requires_grad:
                raise ConfigError(
                    f"no gradient reaches the weights of {name}",
                    why="the rule needs the surrogate gradient of a step",
                    remedy="set neuron.gradient=surrogate, or another model.neuron",
                )
            widths.append(spikes[0].numel())
            x = spikes.detach()
        return widths

    def _loss(self, outputs: Tensor, y: Tensor, spikes: Tensor) -> Tensor:
        """Return the loss of a layer at a step."""
        if self.loss == "cross-entropy":
            total = cross_entropy(outputs, y, ignore_index=UNLABELLED, reduction="sum")
        else:
            known = y != UNLABELLED
            target = one_hot(y.clamp(min=0), outputs.shape[1]).to(outputs.dtype)
            each = smooth_l1_loss(outputs, target, reduction="none").mean(1)
            total = (each * known).sum()
        loss = total / max(len(y), 1)
        if self.rate_cost:
            loss = loss + self.rate_cost * (spikes.mean() - self.rate).clamp(min=0).square()
        return loss

    def _draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Return a readout `[K, n]`."""
        bound = self.readout_scale / math.sqrt(shape[1])
        return (2 * torch.rand(shape, generator=generator) - 1) * bound


def _read(readout: Tensor, spikes: Tensor) -> Tensor:
    """Return y = G s, `[B, K]`, of the spikes of a step."""
    return spikes.flatten(1) @ readout.T
