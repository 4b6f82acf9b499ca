"""The optimizer of a recipe, and which parameters decay."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..models.layer import decaying_parameters
from .recipe.schema import TrainSection


def make_optimizer(train: TrainSection, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of a recipe; its learning rate is set before each step.

    With a weight decay it has two groups: parameters that decay, then those that do not.
    """
    groups = _groups(train, model)
    fused = groups[0]["params"][0].device.type in ("cpu", "cuda", "mps")
    if train.optimizer == "sgd":
        return torch.optim.SGD(groups, train.lr, momentum=train.momentum, fused=fused)
    betas = (0.9, 0.999) if train.betas is None else (train.betas[0], train.betas[1])
    if train.optimizer == "adamax":
        return torch.optim.Adamax(groups, train.lr, betas)
    kind = torch.optim.Adam if train.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, train.lr, betas, fused=fused)


def decaying(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that decay: weights of convolutions, linear layers and the like.

    These are the parameters of two axes and more, except where a layer names them itself, as
    layers of neurons do (`asnn.models.layer.decaying_parameters`). Weight decay regularizes
    products, and before a batch norm sets the effective learning rate. It has no such effect on a
    bias, the weight of a norm or the scale of the readout, and would pull leak, gain, threshold and
    reset size to 0.

    Source: arXiv 1812.01187, section 3.1, and timm.
    """
    chosen = {id(p) for p in decaying_parameters(model)}
    return [p for p in model.parameters() if p.requires_grad and id(p) in chosen]


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
