"""Sparse inputs and weights, and untrained networks whose neurons fire."""

import torch
from torch import nn


def sparse(*shape, share=0.3, seed=0):
    """Random spikes."""
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < share).float()


def with_zeros(layer, seed=0):
    """The layer, with about 30 % of its weights set to 0."""
    with torch.no_grad():
        layer.weight *= sparse(*layer.weight.shape, share=0.7, seed=seed)
    return layer


def images(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def lively(model, bias=1.5):
    """The network, with random norms that make its neurons fire."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.constant_(module.weight, 3.0)
            nn.init.normal_(module.bias, bias, 1.5)
    return model
