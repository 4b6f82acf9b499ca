"""From a trained network to the frozen graph: norms folded, schedules laid out, torch left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from ...core.errors import ConfigError
from ...models.layers.attention import SelfAttention
from ...models.layers.convolution import AFFINE
from ...models.layers.norm import TimeNorm
from ...models.layers.residual import Residual
from ...models.layers.spiking import SpikingLayer
from ...models.layers.stem import Stem
from ...models.layers.time import OverTime
from ...models.network import SpikingNetwork
from ...models.readouts import Readout
from . import ir as g
from .arrays import (
    array_of,
    bias_of,
    check_finite,
    f32,
    geometry_of,
    neuron_of,
    norms_of,
    pool_of,
    refusal,
    scale_of,
    weights_of,
)


def freeze_network(model: SpikingNetwork, about: dict[str, Any] | None = None) -> g.Graph:
    """Return the graph of a network in evaluation mode.

    Norms are folded into the affine layer in front of them, W' = W w / √(v + eps), each step with
    the statistics that are its own; what the norm folds in is computed in float64. Layers are
    called what they are called below `body`, such as `block1.main.spikes1`; where paths meet,
    the block's name is that of their sum or product.

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
    check_finite(found)
    assert found.shapes  # every layer takes what it is given
    return found


class _Waiting(NamedTuple):
    """An affine layer of which it is not known yet whether a norm follows to fold it with.

    Attributes:
        name: of the layer.
        layers: that compute each of the steps.
    """

    name: str
    layers: list[nn.Module]


class _Walk:
    """Walks through a body, layer by layer.

    Attributes:
        at: the node that the next layer reads.
        waiting: a layer between that node and the next one.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.nodes: list[g.Node] = []
        self.at = g.INPUT
        self.waiting: _Waiting | None = None

    def nodes_of(self, model: SpikingNetwork) -> list[g.Node]:
        if not isinstance(model.body, nn.Sequential):
            raise refusal("body", model.body, "it is not a sequence of layers")
        self.take_all("", model.body)
        self.settle()
        if not self.nodes or not isinstance(self.nodes[-1], g.Readout):
            raise ConfigError(
                "the network does not end with a readout", why="logits are read there"
            )
        return self.nodes

    def take_all(self, prefix: str, parts: nn.Sequential) -> None:
        """Add layers one after another."""
        for name, part in parts.named_children():
            self.take(f"{prefix}{name}", part)

    def take(self, name: str, part: nn.Module) -> None:
        """Add a part of the body that goes over time."""
        if isinstance(part, SpikingLayer):
            return self.take_spiking(name, part)
        if isinstance(part, TimeNorm):
            return self.take_norm(name, name, part)
        if isinstance(part, nn.Sequential):
            return self.take_all(f"{name}.", part)
        self.settle()
        match part:
            case Residual():
                return self.take_residual(name, part)
            case Stem():
                return self.take_stem(name, part)
            case SelfAttention():
                return self.add(g.Attention, name, heads=part.heads, scale=float(part.scale))
            case Readout():
                scale = np.ones(self.steps) if part.scale is None else array_of(part.scale)
                weight, bias = array_of(part.linear.weight), bias_of(part.linear)
                return self.add(g.Readout, name, weight=weight, bias=bias, scale=f32(scale))
            case OverTime():
                return self.take_plain(name, [part.layer] * self.steps)
            case nn.Flatten(start_dim=2, end_dim=-1):
                return self.add(g.Flatten, name)
            case nn.Identity() | nn.Dropout():
                return None  # nothing, in evaluation
        raise refusal(name, part, "the graph does not know how it goes over time")

    def take_residual(self, name: str, part: Residual) -> None:
        begin = self.at
        main = self.take_path(f"{name}.main.", part.main)
        self.at = begin
        shortcut = self.take_path(f"{name}.shortcut.", part.shortcut)
        if part.join == "add":
            return self.add(g.Add, name, (main, shortcut))
        return self.add(g.Product, name, (main, shortcut), inverted=part.join == "iand")

    def take_path(self, prefix: str, parts: nn.Sequential) -> str:
        """Add a path to where it meets another, and return the node that it ends with."""
        self.take_all(prefix, parts)
        self.settle()
        return self.at

    def take_stem(self, name: str, stem: Stem) -> None:
        analog = stem.analog_steps
        mean, std = (part.flatten().double().numpy() for part in (stem.mean, stem.std))
        if analog and not ((mean == 0).all() and (std == 1).all()):
            factor, offset = np.ones((self.steps, len(mean))), np.zeros((self.steps, len(mean)))
            factor[:analog], offset[:analog] = 1 / std, -mean / std
            self.add(g.ChannelScale, "normalise", factor=f32(factor), offset=f32(offset))
        layers = [stem.analog] * analog + [stem.spikes] * (self.steps - analog)
        self.take_plain(name, [layer for layer in layers if layer is not None])

    def take_plain(self, name: str, layers: list[nn.Module]) -> None:
        """Add what has no memory, `layers` for each of the steps."""
        first = layers[0]
        if any(type(layer) is not type(first) for layer in layers):
            raise refusal(name, first, "its steps have layers of different kinds")
        if isinstance(first, nn.Sequential):
            return self.take_sequence(name, layers)
        self.settle()
        if isinstance(first, nn.Flatten) and first.start_dim == 1 and first.end_dim == -1:
            return self.add(g.Flatten, name)
        if isinstance(first, nn.MaxPool2d | nn.AvgPool2d):
            return self.add(g.Pool, name, **pool_of(name, first))
        if isinstance(first, nn.Identity | nn.Dropout):
            return None  # nothing, in evaluation
        if type(first) in AFFINE:
            self.waiting = _Waiting(name, layers)
            return None
        raise refusal(name, first, "the graph has no such layer")

    def take_sequence(self, name: str, sequences: list[Any]) -> None:
        """Add layers one after another, each step with those of its own; the last has the name."""
        if len({len(sequence) for sequence in sequences}) > 1:
            raise refusal(name, sequences[0], "its steps have different numbers of layers")
        for i, layers in enumerate(zip(*sequences, strict=True), start=1):
            kind = type(layers[0]).__name__.lower().removeprefix("spike")
            last = i == len(sequences[0])
            self.take_plain(name if last else f"{name}.{kind}{i}", list(layers))

    def take_spiking(self, name: str, layer: SpikingLayer) -> None:
        if layer.norm is not None:
            self.take_norm(f"{name}.norm", f"{name}_norm", layer.norm)
        self.settle()
        self.add(g.Neuron, name, **neuron_of(name, layer.neuron))
        if layer.pool is not None:
            if not isinstance(layer.pool, nn.MaxPool2d | nn.AvgPool2d):
                raise refusal(f"{name}.pool", layer.pool, "the graph has no such pool")
            self.add(g.Pool, f"{name}_pool", **pool_of(f"{name}_pool", layer.pool))

    def take_norm(self, path: str, name: str, norm: nn.Module) -> None:
        """Fold a norm into the layer that waits; where none does it is a layer itself."""
        norms = norms_of(path, norm, self.steps)
        if self.waiting is not None:
            return self.settle(norms)
        scales = [scale_of(norm) for norm in norms]
        factor, offset = (f32(np.stack(part)) for part in zip(*scales, strict=True))
        return self.add(g.ChannelScale, name, factor=factor, offset=offset)

    def settle(self, norms: list[Any] | None = None) -> None:
        """Add the affine layer that waits, each step folded with its norm."""
        if self.waiting is None:
            return
        name, layers = self.waiting
        self.waiting = None
        sets: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        of_step = []
        for layer, norm in zip(layers, norms or [None] * self.steps, strict=True):
            key = (id(layer), id(norm))
            if key not in sets:
                sets[key] = weights_of(layer, norm)
            of_step.append(list(sets).index(key))
        weights, biases = (tuple(part) for part in zip(*sets.values(), strict=True))
        shared = {"weights": weights, "biases": biases, "of_step": tuple(of_step)}
        first = layers[0]
        if isinstance(first, nn.Conv2d):
            geometry = geometry_of(name, first)
            if any(geometry_of(name, layer) != geometry for layer in layers):  # type: ignore[arg-type]
                raise refusal(name, first, "its windows differ from step to step")
            self.add(g.Conv, name, **shared, **geometry)
        else:
            self.add(g.Linear, name, **shared)

    def add(
        self,
        make: Callable[..., g.Node],
        name: str,
        inputs: tuple[str, ...] | None = None,
        /,
        **options: Any,
    ) -> None:
        """Add a node that reads `inputs`, or the one before it."""
        self.nodes.append(make(name=name, inputs=inputs or (self.at,), **options))
        self.at = name
