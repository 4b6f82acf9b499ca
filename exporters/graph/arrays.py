"""Single layers of a network as fields of the export graph: arrays and windows, or a refusal."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from ...core.errors import ConfigError
from ...models.frozen import folded_weights
from ...models.layers.batch_norm import PLAIN
from ...models.layers.norm import TimeNorm
from . import ir as g

REMEDY = "export a network of asnn's own layers, or give the layer a method `lower` (CONTRIBUTING)"


def norms_of(name: str, norm: nn.Module, steps: int) -> list[nn.Module]:
    """Return the batch norm of each step.

    Raises:
        ConfigError: it is not a batch norm over time, or has no running statistics or weights.
    """
    if not isinstance(norm, TimeNorm):
        raise refusal(name, norm, "it is not a batch norm over time")
    found = [each for each, number in norm.segments(steps) for each in [each] * number]
    for each in found:
        fits = type(each) in PLAIN and each.affine
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
    """Return kind, window and options of a pool.

    Raises:
        ConfigError: its value is not one image.
    """
    if isinstance(pool, nn.MaxPool2d):
        if pool.return_indices:
            raise refusal(name, pool, "it returns indices")
        options: dict[str, Any] = {"kind": "max", "dilation": _pair(pool.dilation)}
    else:
        options = {
            "kind": "average",
            "count_include_pad": pool.count_include_pad,
            "divisor_override": pool.divisor_override,
        }
    return {
        **options,
        "kernel": _pair(pool.kernel_size),
        "stride": _pair(pool.stride),
        "padding": _pair(pool.padding),
        "ceil_mode": pool.ceil_mode,
    }


def bias_of(layer: nn.Conv2d | nn.Linear) -> np.ndarray:
    """Return the bias of an affine layer, zeros where it has none."""
    if layer.bias is None:
        return np.zeros(layer.weight.shape[0], np.float32)
    return array_of(layer.bias)


def array_of(tensor: Tensor) -> np.ndarray:
    """Return a tensor as a new float32 array."""
    return np.array(tensor.detach().float().cpu().contiguous().numpy())


def as_field(value: Any) -> Any:
    """Return a value as nodes hold it: tensors and arrays in float32, also those of a tuple, others
    as they are."""
    if isinstance(value, Tensor):
        return array_of(value)
    if isinstance(value, tuple):
        return tuple(map(as_field, value))
    return f32(value) if isinstance(value, np.ndarray) else value


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


def refusal(name: str, module: object, why: str, remedy: str = "") -> ConfigError:
    """Return the error for a layer that cannot be lowered."""
    what = f"layer {name!r} ({type(module).__name__}) cannot be exported"
    return ConfigError(what, why=why, remedy=remedy or REMEDY)


def _pair(value: Any) -> tuple[int, int]:
    height, width = (value, value) if isinstance(value, int) else value
    return int(height), int(width)
