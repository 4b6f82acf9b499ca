"""Frozen networks, for inference: batch norm folded into the weights before it, schedules packed.

`freeze` here means what it means in `torch.jit.freeze`.
"""

from __future__ import annotations

import copy
import operator
from collections import Counter
from itertools import chain, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from .expanded import expand
from .layers.batch_norm import PLAIN
from .layers.convolution import AFFINE
from .layers.norm import FoldedNorm, SharedNorm, SplitNorm, TimeNorm
from .layers.spiking import SpikingLayer
from .layers.stem import Stem
from .layers.time import OverTime


@torch.no_grad()
def freeze(body: nn.Module) -> nn.Module:
    """Return a copy for evaluation without gradients, with batch norms folded where possible.

    A convolution or linear layer with weights W and bias b, in front of a norm with running mean
    m, variance v, weight w and bias β, becomes one layer:

        W' = W w / √(v + eps)        b' = (b - m) w / √(v + eps) + β

    `per-step` norms stay, and so does a norm that does not directly follow an affine layer. The
    logits equal those of the network up to rounding, which can move a membrane across the
    threshold. Layers whose weights follow from fewer become plain ones, see `expand`.
    """
    original, body = body, copy.deepcopy(body).eval()
    for layer, other in zip(original.modules(), body.modules(), strict=True):
        if isinstance(layer, SpikingLayer) and isinstance(other, SpikingLayer):
            other.spike_observers, other.taps = layer.spike_observers, layer.taps
            other.count_observers = layer.count_observers
    expand(body)
    uses = Counter(
        id(child)
        for part in body.modules()
        if isinstance(part, nn.Sequential)
        for child in part._modules.values()
    )
    for parent in list(body.modules()):
        if isinstance(parent, nn.Sequential):
            for i, (layer, after) in enumerate(pairwise(list(parent)), start=1):
                if uses[id(layer)] > 1 or uses[id(after)] > 1:
                    continue  # its weights are those of other places too
                if (
                    isinstance(after, SpikingLayer)
                    and type(after).forward is SpikingLayer.forward
                    and _fold(layer, after.norm)
                ):
                    after.norm = None
                elif _fold(layer, after):
                    parent[i] = nn.Identity()
    for layer in body.modules():
        if callable(getattr(layer, "freeze", None)):
            layer.freeze()  # type: ignore[operator]
    return body.requires_grad_(False)


def _fold(layer: nn.Module, norm: nn.Module | None) -> bool:
    """Fold a norm into the layer before it if their types allow it; return whether they did."""
    pairs: list[tuple[nn.Module | None, nn.Module]]
    if not isinstance(norm, TimeNorm):
        return False
    if type(layer).forward not in (Stem.forward, OverTime.forward):
        return False  # a subclass may compute something else
    if isinstance(layer, Stem) and isinstance(norm, SplitNorm):
        pairs = [(layer.analog, norm.first), (layer.spikes, norm.others)]
    elif isinstance(layer, Stem):
        pairs = [(layer.analog or layer.spikes, norm)]
    elif isinstance(layer, OverTime):
        pairs = [(layer.layer, norm)]
    else:
        return False
    found = [(_affine(module), _plain(norm)) for module, norm in pairs]
    if any(affine is None or plain is None for affine, plain in found):
        return False
    for affine, plain in found:
        assert affine is not None and plain is not None
        _fold_pair(affine, plain)
    return True


def _affine(module: nn.Module | None) -> nn.Conv2d | nn.Linear | None:
    """Return the affine layer at the end of a module, None if there is none."""
    if isinstance(module, nn.Sequential) and len(module):
        module = module[-1]
    return module if type(module) in AFFINE else None  # type: ignore[return-value]


def _plain(norm: nn.Module) -> nn.BatchNorm2d | nn.BatchNorm1d | None:
    """Return the batch norm that is shared by all steps, None if there is none."""
    if type(norm) not in (FoldedNorm, SharedNorm):
        return None
    assert isinstance(norm, FoldedNorm | SharedNorm)
    inner = norm.norm
    fits = type(inner) in PLAIN and inner.running_mean is not None
    return inner if fits and inner.affine else None  # type: ignore[return-value]


def _fold_pair(affine: nn.Conv2d | nn.Linear, norm: nn.BatchNorm2d | nn.BatchNorm1d) -> None:
    weight, bias = folded_weights(affine, norm)
    affine.weight = nn.Parameter(weight)
    affine.bias = nn.Parameter(bias)


@torch.no_grad()
def folded_weights(
    affine: nn.Conv2d | nn.Linear, norm: nn.BatchNorm2d | nn.BatchNorm1d
) -> tuple[Tensor, Tensor]:
    """Return weight and bias of an affine layer with the norm after it folded in, see `freeze`."""
    assert norm.running_mean is not None and norm.running_var is not None
    mean, variance = norm.running_mean.double(), norm.running_var.double()
    factor = norm.weight.double() / (variance + norm.eps).sqrt()
    before = 0.0 if affine.bias is None else affine.bias.double()
    bias = (before - mean) * factor + norm.bias
    weight = affine.weight * factor.view(-1, *[1] * (affine.weight.dim() - 1))
    return weight.to(affine.weight), bias.to(affine.weight)


class Snapshot:
    """The parameters, buffers and modules of a network, to see later whether one has changed.

    It compares hooks and the choice of kernels too. It does not walk through names: that would
    take longer than a forward pass of a small network.
    """

    def __init__(self, model: nn.Module) -> None:
        entries: list[dict[str, Any]] = []
        hooks: list[dict[int, Any]] = []
        self._kernels: list[tuple[dict[str, Any], Any]] = []
        modules = [model]
        for module in modules:  # the list grows
            entries += [module._parameters, module._buffers, module._modules]
            hooks += [module._forward_hooks, module._forward_pre_hooks]
            if "kernels" in module.__dict__:
                self._kernels.append((module.__dict__, module.__dict__["kernels"]))
            modules += [child for child in module._modules.values() if child is not None]
        self._sized = [*entries, *hooks]
        self._filled = [each for each in entries if each]
        self._values = self._current_values()
        self._tensors = [value for value in self._values if isinstance(value, Tensor)]
        self._sizes, self._states = self._current_sizes(), self._current_states()

    def is_current(self) -> bool:
        """Return whether nothing has changed since."""
        return (
            self._current_sizes() == self._sizes
            # Identity, since `==` of tensors compares their values.
            and all(map(operator.is_, self._current_values(), self._values))
            and all(attributes.get("kernels") is value for attributes, value in self._kernels)
            and self._current_states() == self._states
            # torch does not count the steps of its fused optimizers, which need gradients.
            and all(t.grad is None for t in self._tensors)
        )

    # Before each inference: what runs in C, without a step of Python for each entry, is fastest.
    def _current_sizes(self) -> list[int]:
        return list(map(len, self._sized))

    def _current_values(self) -> list[Any]:
        return list(chain.from_iterable(map(dict.values, self._filled)))

    def _current_states(self) -> tuple[list[int], list[int]]:
        return [t._version for t in self._tensors], [t.data_ptr() for t in self._tensors]
