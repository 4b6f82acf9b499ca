"""Networks for inference: batch norm folded into the weights before it, schedules packed."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import nn

from .convolution import SpikeConv2d
from .layers import SpikingLayer, Stem
from .norm import FoldedNorm, PartedNorm, SharedNorm
from .time import OverTime


@torch.no_grad()
def freeze(body: nn.Module) -> nn.Module:
    """Return a copy for evaluation without gradients, with every norm folded that can be.

    A convolution or linear layer with weights W and bias b, in front of a norm with running mean
    m, variance v, weight w and bias β, becomes one layer:

        W' = W w / √(v + eps)        b' = (b - m) w / √(v + eps) + β

    Norms that differ from step to step (`per-step`) stay where they are; so do those that do not
    follow an affine layer directly. The answers are those of the network itself but for rounding,
    which can move a membrane across the threshold.
    """
    body = copy.deepcopy(body).eval()
    for parent in list(body.modules()):
        if isinstance(parent, nn.Sequential):
            for part, after in pairwise(parent):
                if isinstance(after, SpikingLayer) and after.norm is not None:
                    _fold(part, after)
    for layer in body.modules():
        if isinstance(layer, SpikingLayer):
            layer.freeze()
    return body.requires_grad_(False)


def _fold(part: nn.Module, layer: SpikingLayer) -> None:
    """Fold the norm of a layer into the part in front of it, if both are of a kind to do so."""
    norm = layer.norm
    pairs: list[tuple[nn.Module | None, nn.Module]]
    if isinstance(part, Stem) and isinstance(norm, PartedNorm):
        pairs = [(part.analog, norm.first), (part.spikes, norm.others)]
    elif isinstance(part, Stem):
        pairs = [(part.analog or part.spikes, norm)] if norm is not None else []
    elif isinstance(part, OverTime) and norm is not None:
        pairs = [(part.layer, norm)]
    else:
        return
    found = [(_affine(module), _plain(norm)) for module, norm in pairs]
    if any(affine is None or plain is None for affine, plain in found):
        return
    for affine, plain in found:
        assert affine is not None and plain is not None
        _fold_pair(affine, plain)
    layer.norm = None


def _affine(module: nn.Module | None) -> nn.Conv2d | nn.Linear | None:
    """Return the affine layer that a module ends with."""
    if isinstance(module, nn.Sequential) and len(module):
        module = module[-1]
    known = type(module) in (nn.Conv2d, SpikeConv2d, nn.Linear)
    return module if known else None  # type: ignore[return-value]


def _plain(norm: nn.Module) -> nn.BatchNorm2d | nn.BatchNorm1d | None:
    """Return the batch norm that all steps go through, if there is just one."""
    if type(norm) not in (FoldedNorm, SharedNorm):
        return None
    assert isinstance(norm, FoldedNorm | SharedNorm)
    inner = norm.norm
    fits = type(inner) in (nn.BatchNorm1d, nn.BatchNorm2d) and inner.running_mean is not None
    return inner if fits and inner.affine else None  # type: ignore[return-value]


def _fold_pair(affine: nn.Conv2d | nn.Linear, norm: nn.BatchNorm2d | nn.BatchNorm1d) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    mean, variance = norm.running_mean.double(), norm.running_var.double()
    factor = norm.weight.double() / (variance + norm.eps).sqrt()
    before = 0.0 if affine.bias is None else affine.bias.double()
    bias = (before - mean) * factor + norm.bias
    weight = affine.weight * factor.view(-1, *[1] * (affine.weight.dim() - 1))
    affine.weight = nn.Parameter(weight.to(affine.weight))
    affine.bias = nn.Parameter(bias.to(affine.weight))


def versions(model: nn.Module) -> list[object]:
    """Return what changes when a weight, statistic, part, hook or the choice of kernels does."""
    found: list[object] = []
    parts: list[nn.Module] = [model]
    for part in parts:  # which grows; a walk by names would take longer than a small network
        for tensor in (*part._parameters.values(), *part._buffers.values()):
            if tensor is not None:
                found += (tensor.data_ptr(), tensor._version)
        found += (id(part), part.__dict__.get("kernels"))
        found += (*part._forward_hooks, *part._forward_pre_hooks)
        parts += [child for child in part._modules.values() if child is not None]
    return found
