"""What single layers of a network become in the frozen graph: arrays, windows, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from ...core.errors import ConfigError
from ...models.frozen import folded_weights
from ...models.layers.norm import TimeNorm
from ...models.neurons.leaky import AdaptiveLeaky, FixedLeaky
from . import ir as g

REMEDY = "export a network of asnn's own layers, or ask for the layer to be supported"


def neuron_of(name: str, neuron: nn.Module) -> dict[str, Any]:
    """Return leak, gain, threshold, size and reset of a neuron, as `graph.Neuron` has them.

    Raises:
        ConfigError: the graph does not know the neuron, or it has learned what has no threshold.
    """
    if not isinstance(neuron, AdaptiveLeaky) or type(neuron) not in (AdaptiveLeaky, FixedLeaky):
        raise refusal(f"{name}.neuron", neuron, "the graph knows leaky neurons of asnn")
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
    """Return the batch norm that each step goes through.

    Raises:
        ConfigError: it is none over time, or one without running statistics and weights.
    """
    if not isinstance(norm, TimeNorm):
        raise refusal(name, norm, "it is not a batch norm over time")
    found = [each for each, number in norm.segments(steps) for each in [each] * number]
    for each in found:
        fits = type(each) in (nn.BatchNorm1d, nn.BatchNorm2d) and each.affine
        if not (fits and each.running_mean is not None):
            raise refusal(name, each, "it keeps no running statistics and weights")
    return found


def weights_of(layer: nn.Module, norm: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias of an affine layer, with the norm behind it if there is one."""
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    if norm is None:
        return array_of(layer.weight), bias_of(layer)
    weight, bias = folded_weights(layer, norm)
    return array_of(weight), array_of(bias)


def scale_of(norm: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return factor and offset of a norm in evaluation."""
    factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    offset = norm.bias.double() - norm.running_mean.double() * factor
    return factor.numpy(), offset.numpy()


def geometry_of(name: str, conv: nn.Conv2d) -> dict[str, Any]:
    """Return stride, padding, dilation and groups of a convolution.

    Raises:
        ConfigError: it is padded with something else than a number of zeros.
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
    greatest = isinstance(pool, nn.MaxPool2d)
    if pool.ceil_mode or (greatest and (pool.return_indices or _pair(pool.dilation) != (1, 1))):
        raise refusal(name, pool, "it rounds up, spreads its window or returns indices")
    if not greatest and (pool.divisor_override or not pool.count_include_pad):
        raise refusal(name, pool, "it divides by something else than the size of its window")
    return {
        "kind": "max" if greatest else "average",
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
    """Return a tensor in float32, as an array of its own."""
    return np.array(tensor.detach().float().cpu().contiguous().numpy())


def f32(values: np.ndarray) -> np.ndarray:
    """Return values in float32."""
    return values.astype(np.float32)


def check_finite(graph: g.Graph) -> None:
    """Refuse a graph with a parameter that is not a number.

    Raises:
        ConfigError: which, of which layer.
    """
    for node in graph.nodes:
        for field, value in vars(node).items():
            parts = value if isinstance(value, tuple) else (value,)
            numbers = [part for part in parts if isinstance(part, np.ndarray | float)]
            if not all(np.isfinite(part).all() for part in numbers):
                raise ConfigError(f"{field} of layer {node.name!r} is not finite")


def refusal(name: str, module: object, why: str) -> ConfigError:
    """Return the error of a layer that the graph cannot say."""
    return ConfigError(
        f"layer {name!r} ({type(module).__name__}) cannot be exported", why=why, remedy=REMEDY
    )


def _pair(value: Any) -> tuple[int, int]:
    height, width = (value, value) if isinstance(value, int) else value
    return int(height), int(width)
