"""The optimizer of a recipe, and which parameters decay."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..models.layers.spiking import SpikingLayer
from ..models.neurons.leaky import AdaptiveLeaky
from .recipe.schema import TrainSection


def make_optimizer(train: TrainSection, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of a recipe; its learning rate is set before each step.

    With a weight decay it has two groups: parameters that decay, then those that do not.
    """
    groups = _groups(train, model)
    fused = groups[0]["params"][0].device.type in ("cpu", "cuda", "mps")
    if train.optimizer == "sgd":
        return torch.optim.SGD(groups, train.lr, momentum=train.momentum, fused=fused)
    kind = torch.optim.Adam if train.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, train.lr, fused=fused)


def decaying(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that decay: weights of convolutions, linear layers and the like.

    These are the parameters of two axes and more that do not belong to a neuron, and those that a
    module names itself by `decaying_parameters()`, such as recurrent weights. Weight decay
    regularizes products, and before a batch norm sets the effective learning rate. It has no such
    effect on a bias, the weight of a norm or the scale of the readout, and would pull leak, gain,
    threshold and reset size to 0.

    Source: arXiv 1812.01187, section 3.1, and timm.
    """
    neurons = {id(p) for module in _neurons(model) for p in module.parameters()}
    learned = [p for p in model.parameters() if p.requires_grad]
    named = {
        id(p)
        for module in model.modules()
        if callable(getattr(module, "decaying_parameters", None))
        for p in module.decaying_parameters()  # type: ignore[operator]
    }
    return [p for p in learned if id(p) in named or (p.dim() >= 2 and id(p) not in neurons)]


def _neurons(model: nn.Module) -> list[nn.Module]:
    layers = [module.neuron for module in model.modules() if isinstance(module, SpikingLayer)]
    return layers + [module for module in model.modules() if isinstance(module, AdaptiveLeaky)]


def _groups(train: TrainSection, model: nn.Module) -> list[dict[str, Any]]:
    learned = [p for p in model.parameters() if p.requires_grad]
    if not train.weight_decay or train.decay_all:
        return [{"params": learned, "weight_decay": train.weight_decay}]
    weights = decaying(model)
    decays = {id(p) for p in weights}
    others = [p for p in learned if id(p) not in decays]
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": train.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
