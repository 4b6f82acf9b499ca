"""Single layers of a network as fields of the export graph: arrays and windows, or a refusal."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from ...core.errors import ConfigError
from ...models.frozen import folded_weights
from ...models.layers.norm import TimeNorm
from ...models.layers.recurrent import Recurrent
from ...models.neurons.leaky import AdaptiveLeaky, FixedLeaky
from . import ir as g

REMEDY = "export a network of asnn's own layers, or ask for the layer to be supported"


def neuron_of(name: str, neuron: nn.Module) -> dict[str, Any]:
    """Return leak, gain, threshold, size, reset and recurrent weights, as `graph.Neuron` has them.

    Raises:
        ConfigError: the graph has no such neuron, or a learned reset size has no threshold.
    """
    if type(neuron) is Recurrent:
        return {**neuron_of(name, neuron.neuron), "recurrent": array_of(neuron.weight)}
    if not isinstance(neuron, AdaptiveLeaky) or type(neuron) not in (AdaptiveLeaky, FixedLeaky):
        raise refusal(f"{name}.neuron", neuron, "the graph has only the leaky neurons of asnn")
    p = neuron.step_parameters()

    def columns(schedule: Tensor) -> np.ndarray:
        return array_of(schedule if schedule.dim() == 2 else schedule.unsqueeze(1))

    leak = columns(p.leak)
    if p.reset_size is None:
        threshold = np.full_like(leak, float(p.threshold))
        size = threshold
    else:
        # H(v / r - θ) = H(v - θ r) for r above 0
        size = columns(p.reset_size)
        if not (size > 0).all():
            raise ConfigError(
                f"layer {name!r} has learned a reset size that is not above 0",
                why="v / r > θ has no threshold on v then",
                remedy="train with neuron.learn_reset_size=false",
            )
        threshold = size * np.float32(float(p.threshold))
    return {
        "leak": leak,
        "gain": columns(p.gain),
        "threshold": threshold,
        "size": size,
        "reset": neuron.options.reset,
    }


def norms_of(name: str, norm: nn.Module, steps: int) -> list[nn.Module]:
    """Return the batch norm of each step.

    Raises:
        ConfigError: it is not a batch norm over time, or has no running statistics or weights.
    """
    if not isinstance(norm, TimeNorm):
        raise refusal(name, norm, "it is not a batch norm over time")
    found = [each for each, number in norm.segments(steps) for each in [each] * number]
    for each in found:
        fits = type(each) in (nn.BatchNorm1d, nn.BatchNorm2d) and each.affine
        if not (fits and each.running_mean is not None):
            raise refusal(name, each, "it has no running statistics or no weights")
    return found


def weights_of(layer: nn.Module, norm: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias of an affine layer, with the norm after it folded in if given."""
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    if norm is None:
        return array_of(layer.weight), bias_of(layer)
    weight, bias = folded_weights(layer, norm)
    return array_of(weight), array_of(bias)


def scale_of(norm: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return factor and offset of a norm in evaluation mode."""
    factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    offset = norm.bias.double() - norm.running_mean.double() * factor
    return factor.numpy(), offset.numpy()


def geometry_of(name: str, conv: nn.Conv2d) -> dict[str, Any]:
    """Return stride, padding, dilation and groups of a convolution.

    Raises:
        ConfigError: its padding is not a number of zeros.
    """
    if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        raise refusal(name, conv, "its padding is not a number of zeros")
    return {
        "stride": _pair(conv.stride),
        "padding": _pair(conv.padding),
        "dilation": _pair(conv.dilation),
        "groups": conv.groups,
    }


def pool_of(name: str, pool: nn.MaxPool2d | nn.AvgPool2d) -> dict[str, Any]:
    """Return kind and window of a pool.

    Raises:
        ConfigError: the graph has no such window.
    """
    is_max = isinstance(pool, nn.MaxPool2d)
    if pool.ceil_mode or (is_max and (pool.return_indices or _pair(pool.dilation) != (1, 1))):
        raise refusal(name, pool, "it rounds up, has a dilation or returns indices")
    if not is_max and (pool.divisor_override or not pool.count_include_pad):
        raise refusal(name, pool, "it does not divide by the size of its window")
    return {
        "kind": "max" if is_max else "average",
        "kernel": _pair(pool.kernel_size),
        "stride": _pair(pool.stride),
        "padding": _pair(pool.padding),
    }


def bias_of(layer: nn.Conv2d | nn.Linear) -> np.ndarray:
    """Return the bias of an affine layer, zeros where it has none."""
    if layer.bias is None:
        return np.zeros(layer.weight.shape[0], np.float32)
    return array_of(layer.bias)


def array_of(tensor: Tensor) -> np.ndarray:
    """Return a tensor as a new float32 array."""
    return np.array(tensor.detach().float().cpu().contiguous().numpy())


def f32(values: np.ndarray) -> np.ndarray:
    """Return values in float32."""
    return values.astype(np.float32)


def check_finite(graph: g.Graph) -> None:
    """Refuse a graph with a parameter that is not finite.

    Raises:
        ConfigError: names the parameter and its layer.
    """
    for node in graph.nodes:
        for field, value in vars(node).items():
            parts = value if isinstance(value, tuple) else (value,)
            numbers = [part for part in parts if isinstance(part, np.ndarray | float)]
            if not all(np.isfinite(part).all() for part in numbers):
                raise ConfigError(f"{field} of layer {node.name!r} is not finite")


def refusal(name: str, module: object, why: str) -> ConfigError:
    """Return the error for a layer that cannot be lowered."""
    return ConfigError(
        f"layer {name!r} ({type(module).__name__}) cannot be exported", why=why, remedy=REMEDY
    )


def _pair(value: Any) -> tuple[int, int]:
    height, width = (value, value) if isinstance(value, int) else value
    return int(height), int(width)
