"""Layers one after another, where some are computed together with the next one.

An affine layer and the spiking layer after it are one function where the neurons are
differentiated on their representation (`represented`): the memory of their training does not grow
with the number of steps. Of the gradient of its input that function computes only what neurons of
the same kind read, so that it fits where the input needs no gradient, or is what such neurons
sent, at most flattened or pooled by means.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor, nn

from ...kernels.dispatch import is_traced
from ..neurons.integrate import Integrate
from .convolution import AFFINE
from .fusing import is_watched, segments_of
from .represented import Call, mean_pooled, represented_layer
from .spiking import SpikingLayer
from .stem import Stem
from .time import OverTime


class Chained(NamedTuple):
    """An affine layer with the spiking layer after it, and their input.

    Attributes:
        x: `[T, B, ...]`; `[1, B, ...]` if it is the same at every step.
        call: of the function that computes both.
        amplitude: V of the neurons, broadcast against a step of their output.
    """

    x: Tensor
    call: Call
    amplitude: Tensor


def in_turn(layers: Iterable[nn.Module], x: Tensor) -> Tensor:
    """Return what layers compute of `x` `[T, B, ...]` one after another.

    Raises:
        ConfigError: kernels are `fused` and cannot compute a layer.
    """
    leak = None  # λ of the neurons that sent x
    rest = list(layers)
    while rest:
        layer, *rest = rest
        if rest and type(rest[0]) is SpikingLayer and is_represented(rest[0].neuron):
            out = _together(layer, rest[0], x, leak)
            if out is not None:
                x, leak = out, _leak_after(rest.pop(0), leak)
                continue
        if leak is not None and type(layer) is OverTime and _pools_by_mean(layer.layer):
            x = mean_pooled(x, layer.layer, leak)
        else:
            x, leak = layer(x), _leak_after(layer, leak)
    return x


def is_represented(neuron: nn.Module) -> bool:
    """Return whether neurons are differentiated on their representation."""
    return type(neuron) is Integrate and neuron.options.gradient == "representation"


def chained(
    layer: nn.Module, spiking: SpikingLayer, x: Tensor, leak: float | None
) -> Chained | str:
    """Return an affine layer and the spiking layer after it as one, or why they are not.

    Args:
        layer: the layer before.
        spiking: with neurons that are differentiated on their representation.
        x: input of the layer.
        leak: λ of the neurons that sent `x`, at most flattened or pooled by means; else None.
    """
    if is_traced(x):
        return "torch traces or compiles"
    found = _affine_input(layer, x, leak)
    if isinstance(found, str):
        return found
    affine, inputs = found
    if any(is_watched(part) for part in (layer, spiking)):
        return "a hook observes the values between affine layer, norm and neuron"
    segments = segments_of(spiking.norm, len(x))
    if isinstance(segments, str):
        return segments
    if len(segments) > 1:
        return "steps have batch norms of their own, so that the gradient differs between them"
    neuron = spiking.neuron
    assert isinstance(neuron, Integrate)
    amplitude = neuron.amplitude
    if amplitude.dim():
        if len(amplitude) != len(affine.weight):
            return "the neuron has amplitudes for another number of channels"
        amplitude = amplitude.view(-1, *[1] * (inputs.dim() - 3))
    norm: Any = segments[0][0] if segments else None
    if norm is not None and norm.weight.dtype != torch.promote_types(inputs.dtype, torch.float32):
        return f"the norm holds {norm.weight.dtype}, and would be computed in float32"
    call = Call(
        affine,
        norm,
        neuron.options,
        steps=len(x),
        leak=1.0 if leak is None else leak,
        by_batch=norm is not None and norm.training,
        learns=torch.is_grad_enabled(),
    )
    return Chained(inputs, call, amplitude)


def _affine_input(
    layer: nn.Module, x: Tensor, leak: float | None
) -> tuple[nn.Linear | nn.Conv2d, Tensor] | str:
    """Return the affine layer and its input, as `represented_layer` takes them; or why not."""
    if type(layer) is Stem and not x.requires_grad:
        affine = layer.spikes if layer.analog is None else layer.analog
        inputs = x if layer.analog is None else layer.normalised(x)
        if not layer.static and len(inputs) < len(x):
            return "the steps of the code have weights of their own"
        x = inputs
    elif type(layer) is OverTime:
        affine = layer.layer
        if x.requires_grad and leak is None:
            return (
                "its input is not what neurons with the gradient 'representation' sent, at most "
                "flattened or pooled by means"
            )
    else:
        return f"{type(layer).__name__} is not an affine layer of all steps"
    if type(affine) is nn.Sequential and len(affine) == 2 and type(affine[0]) is nn.Flatten:
        affine, x = affine[1], x.flatten(2)
    if type(affine) not in AFFINE:
        return f"{type(affine).__name__} is not an affine layer"
    assert isinstance(affine, nn.Linear | nn.Conv2d)
    if x.dim() != (3 if isinstance(affine, nn.Linear) else 5):
        return f"the input of the affine layer has {x.dim()} axes"
    if isinstance(affine, nn.Conv2d) and not _pads_by_a_number(affine):
        return "the convolution is not padded by a number of zeros"
    return affine, x


def _pads_by_a_number(layer: nn.Conv2d) -> bool:
    return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def _together(
    layer: nn.Module, spiking: SpikingLayer, x: Tensor, leak: float | None
) -> Tensor | None:
    """Return the output of both layers; None if they are computed one after the other.

    Raises:
        ConfigError: kernels are `fused`, and they cannot be computed together.
    """
    if spiking.kernels == "reference" or not x.numel():
        return None
    how = chained(layer, spiking, x, leak)
    if isinstance(how, str):
        spiking.refuse_fused(how)
        return None
    spikes = represented_layer(*how)
    spiking.used = "fused"
    pool = spiking.pool
    if not _pools_by_mean(pool):
        return spiking.sent(spikes)
    return spiking.sent(spikes, lambda spikes: mean_pooled(spikes, pool, how.call.options.leak))


def _leak_after(layer: nn.Module, leak: float | None) -> float | None:
    """Return λ of the neurons that sent what a layer returns, at most flattened or pooled by means;
    None if other values are returned.

    Args:
        layer: the layer.
        leak: of the neurons that sent its input, or None.
    """
    if type(layer) is nn.Flatten and layer.start_dim >= 2:
        return leak
    if type(layer) is not SpikingLayer or not is_represented(layer.neuron):
        return None
    if layer.pool is not None and not _pools_by_mean(layer.pool):
        return None
    assert isinstance(layer.neuron, Integrate)
    return layer.neuron.options.leak


def _pools_by_mean(part: nn.Module | None) -> TypeGuard[nn.AvgPool2d]:
    return type(part) is nn.AvgPool2d and not is_watched(part)
