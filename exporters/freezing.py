"""From a trained network to the frozen graph: norms folded, schedules laid out, torch left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..core.errors import ConfigError
from ..models.convolution import SpikeConv2d
from ..models.frozen import folded_weights
from ..models.layers import Readout, SpikingLayer, Stem
from ..models.network import SpikingNetwork
from ..models.neurons import AdaptiveLeaky, FixedLeaky
from ..models.norm import TimeNorm
from ..models.time import OverTime
from . import graph as g

REMEDY = "export a network of asnn's own layers, or ask for the layer to be supported"


def freeze_network(model: SpikingNetwork, about: dict[str, Any] | None = None) -> g.Graph:
    """Return the graph of a network in evaluation mode.

    Norms are folded into the affine layer in front of them, W' = W w / √(v + eps), each step with
    the statistics that are its own; what the norm folds in is computed in float64.

    Args:
        model: the network; its mode does not matter.
        about: what the graph is to say of itself beside the network's configuration.

    Raises:
        ConfigError: the graph cannot say what a layer does.
    """
    with torch.no_grad():
        nodes = _Walk(model.coding.steps).nodes_of(model)
    c, h, w = model.config["in_shape"]
    config = {key: value for key, value in model.config.items() if key != "in_shape"}
    found = g.Graph(
        tuple(nodes),
        in_shape=(c, h, w),
        steps=model.coding.steps,
        static=model.coding.static,
        about={"network": config, **(about or {})},
    )
    _check_finite(found)
    assert found.shapes  # every layer takes what it is given
    return found


class _Walk:
    """Walks through a body, layer by layer.

    An affine layer waits until it is known whether a norm follows that it can be folded with.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.nodes: list[g.Node] = []
        self.waiting: tuple[str, list[nn.Module]] | None = None

    def nodes_of(self, model: SpikingNetwork) -> list[g.Node]:
        if not isinstance(model.body, nn.Sequential):
            raise _refusal("body", model.body, "it is not a sequence of layers")
        for name, part in model.body.named_children():
            self.take(name, part)
        self.settle([None] * self.steps)
        if not self.nodes or not isinstance(self.nodes[-1], g.Readout):
            raise ConfigError(
                "the network does not end with a readout", why="logits are read there"
            )
        return self.nodes

    def take(self, name: str, part: nn.Module) -> None:
        """Add a layer of the body."""
        if isinstance(part, SpikingLayer):
            return self.take_spiking(name, part)
        self.settle([None] * self.steps)
        if isinstance(part, Stem):
            return self.take_stem(name, part)
        if isinstance(part, Readout):
            scale = np.ones(self.steps) if part.scale is None else _array(part.scale)
            linear = part.linear
            return self.add(
                g.Readout, name, weight=_array(linear.weight), bias=_bias(linear), scale=_f32(scale)
            )
        if isinstance(part, OverTime):
            part = part.layer
        elif isinstance(part, nn.Flatten) and part.start_dim == 2 and part.end_dim == -1:
            return self.add(g.Flatten, name)
        elif not isinstance(part, nn.Identity | nn.Dropout):
            raise _refusal(name, part, "the graph does not know how it goes over time")
        return self.take_plain(name, [part] * self.steps)

    def take_stem(self, name: str, stem: Stem) -> None:
        analog = stem.analog_steps
        mean, std = (part.flatten().double().numpy() for part in (stem.mean, stem.std))
        if analog and not ((mean == 0).all() and (std == 1).all()):
            factor, offset = np.ones((self.steps, len(mean))), np.zeros((self.steps, len(mean)))
            factor[:analog], offset[:analog] = 1 / std, -mean / std
            self.add(g.ChannelScale, "normalise", factor=_f32(factor), offset=_f32(offset))
        layers = [stem.analog] * analog + [stem.spikes] * (self.steps - analog)
        self.take_plain(name, [layer for layer in layers if layer is not None])

    def take_plain(self, name: str, layers: list[nn.Module]) -> None:
        """Add layers without memory, one for each step."""
        first = layers[0]
        if isinstance(first, nn.Sequential):
            *others, _ = first
            for other in others:
                kind = type(other).__name__.lower()
                self.take_plain(f"{name}_{kind}", [other] * self.steps)
            return self.take_plain(name, [layer[-1] for layer in layers])  # type: ignore[index]
        if isinstance(first, nn.Flatten) and first.start_dim == 1 and first.end_dim == -1:
            return self.add(g.Flatten, name)
        if isinstance(first, nn.MaxPool2d | nn.AvgPool2d):
            return self.add_pool(name, first)
        if isinstance(first, nn.Identity | nn.Dropout):
            return None  # nothing, in evaluation
        if type(first) in (nn.Conv2d, SpikeConv2d, nn.Linear):
            self.waiting = (name, layers)
            return None
        raise _refusal(name, first, "the graph has no such layer")

    def take_spiking(self, name: str, layer: SpikingLayer) -> None:
        norms: list[Any] = [None] * self.steps
        if layer.norm is not None:
            if not isinstance(layer.norm, TimeNorm):
                raise _refusal(f"{name}.norm", layer.norm, "it is not a batch norm over time")
            norms = [n for norm, number in layer.norm.segments(self.steps) for n in [norm] * number]
        for norm in norms:
            fits = type(norm) in (nn.BatchNorm1d, nn.BatchNorm2d) and norm.affine
            if norm is not None and not (fits and norm.running_mean is not None):
                raise _refusal(f"{name}.norm", norm, "it keeps no running statistics and weights")
        if self.waiting is None and layer.norm is not None:
            scales = [_scale_of(norm) for norm in norms]
            factor, offset = (_f32(np.stack(part)) for part in zip(*scales, strict=True))
            self.add(g.ChannelScale, f"{name}_norm", factor=factor, offset=offset)
        self.settle(norms)
        neuron = layer.neuron
        if not isinstance(neuron, AdaptiveLeaky) or type(neuron) not in (AdaptiveLeaky, FixedLeaky):
            raise _refusal(f"{name}.neuron", neuron, "the graph knows leaky neurons of asnn")
        self.add(g.Neuron, name, **_parameters(name, neuron))
        if layer.pool is not None:
            if not isinstance(layer.pool, nn.MaxPool2d | nn.AvgPool2d):
                raise _refusal(f"{name}.pool", layer.pool, "the graph has no such pool")
            self.add_pool(f"{name}_pool", layer.pool)

    def settle(self, norms: list[Any]) -> None:
        """Add the affine layer that waits, each step folded with its norm."""
        if self.waiting is None:
            return
        name, layers = self.waiting
        self.waiting = None
        sets: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        of_step = []
        for layer, norm in zip(layers, norms, strict=True):
            key = (id(layer), id(norm))
            if key not in sets:
                sets[key] = _weights(layer, norm)
            of_step.append(list(sets).index(key))
        weights, biases = (tuple(part) for part in zip(*sets.values(), strict=True))
        shared = {"weights": weights, "biases": biases, "of_step": tuple(of_step)}
        first = layers[0]
        if isinstance(first, nn.Conv2d):
            self.add(g.Conv, name, **shared, **_geometry(name, first))
        else:
            self.add(g.Linear, name, **shared)

    def add_pool(self, name: str, pool: nn.MaxPool2d | nn.AvgPool2d) -> None:
        greatest = isinstance(pool, nn.MaxPool2d)
        if pool.ceil_mode or (greatest and (pool.return_indices or _pair(pool.dilation) != (1, 1))):
            raise _refusal(name, pool, "it rounds up, spreads its window or returns indices")
        if not greatest and (pool.divisor_override or not pool.count_include_pad):
            raise _refusal(name, pool, "it divides by something else than the size of its window")
        self.add(
            g.Pool,
            name,
            kind="max" if greatest else "average",
            kernel=_pair(pool.kernel_size),
            stride=_pair(pool.stride),
            padding=_pair(pool.padding),
        )

    def add(self, make: Callable[..., g.Node], name: str, /, **options: Any) -> None:
        before = self.nodes[-1].name if self.nodes else g.INPUT
        self.nodes.append(make(name=name, inputs=(before,), **options))


def _parameters(name: str, neuron: AdaptiveLeaky) -> dict[str, Any]:
    p = neuron.parameters_of_steps()

    def columns(schedule: Tensor) -> np.ndarray:
        return _array(schedule if schedule.dim() == 2 else schedule.unsqueeze(1))

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


def _weights(layer: nn.Module, norm: Any) -> tuple[np.ndarray, np.ndarray]:
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    if norm is None:
        return _array(layer.weight), _bias(layer)
    weight, bias = folded_weights(layer, norm)
    return _array(weight), _array(bias)


def _scale_of(norm: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return factor and offset of a norm in evaluation."""
    factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    offset = norm.bias.double() - norm.running_mean.double() * factor
    return factor.numpy(), offset.numpy()


def _geometry(name: str, conv: nn.Conv2d) -> dict[str, Any]:
    if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        raise _refusal(name, conv, "its padding is not a number of zeros")
    return {
        "stride": _pair(conv.stride),
        "padding": _pair(conv.padding),
        "dilation": _pair(conv.dilation),
        "groups": conv.groups,
    }


def _bias(layer: nn.Conv2d | nn.Linear) -> np.ndarray:
    if layer.bias is None:
        return np.zeros(layer.weight.shape[0], np.float32)
    return _array(layer.bias)


def _pair(value: Any) -> tuple[int, int]:
    height, width = (value, value) if isinstance(value, int) else value
    return int(height), int(width)


def _array(tensor: Tensor) -> np.ndarray:
    return np.array(tensor.detach().float().cpu().contiguous().numpy())


def _f32(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)


def _check_finite(graph: g.Graph) -> None:
    for node in graph.nodes:
        for field, value in vars(node).items():
            parts = value if isinstance(value, tuple) else (value,)
            if any(isinstance(p, np.ndarray) and not np.isfinite(p).all() for p in parts):
                raise ConfigError(f"{field} of layer {node.name!r} is not finite")


def _refusal(name: str, module: object, why: str) -> ConfigError:
    return ConfigError(
        f"layer {name!r} ({type(module).__name__}) cannot be exported", why=why, remedy=REMEDY
    )
