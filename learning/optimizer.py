"""The optimiser of a recipe, and which weights decay."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..models.layers.spiking import SpikingLayer
from ..models.neurons.leaky import AdaptiveLeaky
from .recipe.schema import TrainSection


def make_optimizer(train: TrainSection, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of a recipe; the learning rate is set at each step.

    With a weight decay it has two groups: first the weights that decay, then those that do not.
    """
    groups = _groups(train, model)
    fused = groups[0]["params"][0].device.type in ("cpu", "cuda", "mps")  # one loop over all
    if train.optimizer == "sgd":
        return torch.optim.SGD(groups, train.lr, momentum=train.momentum, fused=fused)
    kind = torch.optim.Adam if train.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, train.lr, fused=fused)


def decaying(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights that decay: those of convolutions, linear layers and their like.

    These are the learned tensors of two axes and more that do not belong to a neuron. A decay
    makes products smaller, and where a batch norm follows it sets the size of the steps; a bias,
    a norm's weight, a scale of the readout have no such use for it, and a leak, gain, threshold
    or reset size would be drawn to 0, which no neuron is meant to be.

    Source: the practice of arXiv 1812.01187, section 3.1, and of timm.
    """
    neurons = {id(p) for module in _neurons(model) for p in module.parameters()}
    learned = [p for p in model.parameters() if p.requires_grad]
    return [p for p in learned if p.dim() >= 2 and id(p) not in neurons]


def _neurons(model: nn.Module) -> list[nn.Module]:
    layers = [module.neuron for module in model.modules() if isinstance(module, SpikingLayer)]
    return layers + [module for module in model.modules() if isinstance(module, AdaptiveLeaky)]


def _groups(train: TrainSection, model: nn.Module) -> list[dict[str, Any]]:
    every = [p for p in model.parameters() if p.requires_grad]
    if not train.weight_decay or train.decay_all:
        return [{"params": every, "weight_decay": train.weight_decay}]
    weights = decaying(model)
    chosen = {id(p) for p in weights}
    others = [p for p in every if id(p) not in chosen]
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": train.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
