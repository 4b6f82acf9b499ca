"""Gradients of an affine layer y = W x + b, each from what it alone needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...kernels.dispatch import backend
from ..neurons.functional.normed import has_kernels
from .convolution import SpikeConv2d


def weight_gradient(layer: nn.Linear | nn.Conv2d, x: Tensor, grad: Tensor) -> Tensor:
    """Return Σ_n ∂L/∂y_n x_nᵀ in the shape of the weight.

    Args:
        layer: affine.
        x: its inputs, `[N, in]` or images.
        grad: ∂L/∂y of the outputs y = W x + b.
    """
    x = x.to(grad.dtype)
    if isinstance(layer, nn.Linear):
        return grad.t() @ x
    if isinstance(layer, SpikeConv2d):
        found = layer.weight_gradient_by_events(x, grad)
        if found is not None:
            return found
    return _convolution(layer, layer.weight, grad, x, (False, True))[1]


def input_gradient(
    layer: nn.Linear | nn.Conv2d, weight: Tensor, grad: Tensor, shape: Sequence[int]
) -> Tensor:
    """Return Wᵀ ∂L/∂y_n for each input.

    Args:
        layer: affine.
        weight: its W.
        grad: ∂L/∂y of the outputs.
        shape: of the inputs.
    """
    if isinstance(layer, nn.Linear):
        return grad @ weight.to(grad.dtype)
    x = grad.new_empty(1).expand(shape)  # only its shape matters
    return _convolution(layer, weight, grad, x, (True, False))[0]


def input_covariance(layer: nn.Linear | nn.Conv2d, x: Tensor) -> Tensor | None:
    """Return Σ_n (x_n - x̄) x_nᵀ `[in, in]`, where it makes `covariance` cheaper: of more spikes
    than inputs of a linear layer; else None.

    Args:
        layer: affine.
        x: its inputs, `[N, in]` or images.
    """
    if isinstance(layer, nn.Linear) and len(x) > x.shape[1] and has_kernels(x):
        return backend("cpu").spike_covariance(x.contiguous())
    return None


def covariance(
    layer: nn.Linear | nn.Conv2d,
    x: Tensor,
    z: Tensor,
    mean: Tensor,
    inverse: Tensor,
    of_inputs: Tensor | None,
) -> Tensor:
    """Return Σ_n ẑ_n x_nᵀ in the shape of the weight, with ẑ = (z - mean) inverse.

    Args:
        layer: affine.
        x: its inputs, `[N, in]` or images.
        z: its outputs, which are overwritten; with `of_inputs` they are not read.
        mean: of the outputs over all n, `[C]`.
        inverse: `[C]`.
        of_inputs: their `input_covariance`.
    """
    if of_inputs is not None:  # W cov(x), since ẑ is linear in x
        return (layer.weight @ of_inputs).mul_(inverse.unsqueeze(1))
    shape = (-1, *[1] * (z.dim() - 2))
    return weight_gradient(layer, x, z.sub_(mean.view(shape)).mul_(inverse.view(shape)))


def _convolution(
    layer: nn.Conv2d, weight: Tensor, grad: Tensor, x: Tensor, wanted: tuple[bool, bool]
) -> Any:
    options = (layer.stride, layer.padding, layer.dilation, False, (0, 0), layer.groups)
    weight = weight.to(grad.dtype)
    return torch.ops.aten.convolution_backward(grad, x, weight, None, *options, (*wanted, False))
