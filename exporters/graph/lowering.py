"""Lowering: a trained network as an export graph, with norms folded and schedules as arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from ...core.errors import ConfigError
from ...models.layers.attention import SelfAttention
from ...models.layers.convolution import AFFINE
from ...models.layers.lstm import Lstm, Standardised
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


def lower_network(
    model: SpikingNetwork,
    about: dict[str, Any] | None = None,
    *,
    in_shape: tuple[int, ...] | None = None,
) -> g.Graph:
    """Return the export graph of a network in evaluation mode.

    Norms are folded in float64 into the affine layer before them, W' = W w / √(v + eps), with the
    statistics of each step. A node has the name of its layer below `body`, such as
    `block1.main.spikes1`; the sum or product at the end of a block has the name of the block.

    Args:
        model: the network, in any mode.
        about: metadata beside the network's configuration.
        in_shape: (C, H, W) of one image, for a network that `create_model` did not build.

    Raises:
        ConfigError: the graph has no node for a layer, or the shape of the input is unknown.
    """
    shape = _in_shape(model, in_shape)
    with torch.no_grad():
        nodes = _Lowering(model.coding.steps).nodes_of(model)
    graph = g.Graph(
        tuple(nodes),
        in_shape=shape,
        steps=model.coding.steps,
        static=model.coding.static,
        about={"network": _description(model), **(about or {})},
    )
    check_finite(graph)
    assert graph.shapes  # every layer accepts its input
    return graph


def _in_shape(model: SpikingNetwork, given: tuple[int, ...] | None) -> tuple[int, ...]:
    built = model.step_shape if model.has_config else None
    shape = built if given is None else tuple(given)
    if shape is None:
        raise ConfigError(
            "the shape of the input is unknown",
            why="the network was not built by create_model, and its layers do not give the size "
            "of an image",
            remedy="pass in_shape=(C, H, W) of one image to asnn.exporters.source_of",
        )
    if built not in (None, shape):
        raise ConfigError(f"in_shape is {shape}", why=f"the network was built for {built}")
    if built is None and (
        len(shape) != 3 or not all(isinstance(size, int) and size > 0 for size in shape)
    ):
        raise ConfigError(
            f"in_shape is {shape}", remedy="give (C, H, W) of one image, without the batch"
        )
    return shape


def _description(model: SpikingNetwork) -> dict[str, Any]:
    if not model.has_config:
        return {"from": "SpikingNetwork", "coding": model.coding.name, "steps": model.coding.steps}
    return {key: value for key, value in model.config.items() if key != "in_shape"}


class _Pending(NamedTuple):
    """An affine layer that is not added yet, since a norm may follow and be folded into it.

    Attributes:
        name: of the layer.
        layers: the module of each step.
    """

    name: str
    layers: list[nn.Module]


class _Lowering:
    """Lowers a body, layer by layer.

    Attributes:
        nodes: of the graph so far.
        at: the node that the next layer reads.
        pending: the affine layer before the next one, if it is not added yet.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.nodes: list[g.Node] = []
        self.at = g.INPUT
        self.pending: _Pending | None = None

    def nodes_of(self, model: SpikingNetwork) -> list[g.Node]:
        if not isinstance(model.body, nn.Sequential):
            raise refusal("body", model.body, "it is not a sequence of layers")
        self.lower_all("", model.body)
        self.flush_pending()
        if not self.nodes or not isinstance(self.nodes[-1], g.Readout):
            raise ConfigError(
                "the network does not end with a readout", why="its output are the logits"
            )
        return self.nodes

    def lower_all(self, prefix: str, parts: nn.Sequential) -> None:
        """Add layers one after another."""
        for name, part in parts.named_children():
            self.lower(f"{prefix}{name}", part)

    def lower(self, name: str, part: nn.Module) -> None:
        """Add a part of the body, a module from `[T, B, ...]` to `[T, B, ...]`."""
        if isinstance(part, SpikingLayer):
            return self.lower_spiking(name, part)
        if isinstance(part, TimeNorm):
            return self.lower_norm(name, name, part)
        if isinstance(part, nn.Sequential):
            return self.lower_all(f"{name}.", part)
        self.flush_pending()
        match part:
            case Residual():
                return self.lower_residual(name, part)
            case Stem():
                return self.lower_stem(name, part)
            case Standardised():
                self.lower_standardising(part)
                return self.add(g.Flatten, name)
            case Lstm():
                weight, recurrent = array_of(part.weight_ih_l0), array_of(part.weight_hh_l0)
                bias = array_of(part.bias_ih_l0 + part.bias_hh_l0)
                return self.add(g.Lstm, name, weight=weight, recurrent=recurrent, bias=bias)
            case SelfAttention():
                return self.add(g.Attention, name, heads=part.heads, scale=float(part.scale))
            case Readout():
                scale = np.ones(self.steps) if part.scale is None else array_of(part.scale)
                weight, bias = array_of(part.linear.weight), bias_of(part.linear)
                return self.add(g.Readout, name, weight=weight, bias=bias, scale=f32(scale))
            case OverTime():
                return self.lower_stateless(name, [part.layer] * self.steps)
            case nn.Flatten(start_dim=2, end_dim=-1):
                return self.add(g.Flatten, name)
            case nn.Identity() | nn.Dropout():
                return None  # the identity in evaluation mode
        raise refusal(name, part, "the graph has no node for it")

    def lower_residual(self, name: str, part: Residual) -> None:
        begin = self.at
        main = self.lower_path(f"{name}.main.", part.main)
        self.at = begin
        shortcut = self.lower_path(f"{name}.shortcut.", part.shortcut)
        if part.join == "add":
            return self.add(g.Add, name, (main, shortcut))
        return self.add(g.Product, name, (main, shortcut), inverted=part.join == "iand")

    def lower_path(self, prefix: str, parts: nn.Sequential) -> str:
        """Add a path of a residual block and return its last node."""
        self.lower_all(prefix, parts)
        self.flush_pending()
        return self.at

    def lower_standardising(self, part: Stem | Standardised) -> None:
        """Add the normalisation of analog steps by mean and standard deviation."""
        analog = part.analog_steps
        mean, std = (values.flatten().double().numpy() for values in (part.mean, part.std))
        if analog and not ((mean == 0).all() and (std == 1).all()):
            factor, offset = np.ones((self.steps, len(mean))), np.zeros((self.steps, len(mean)))
            factor[:analog], offset[:analog] = 1 / std, -mean / std
            self.add(g.ChannelScale, "normalise", factor=f32(factor), offset=f32(offset))

    def lower_stem(self, name: str, stem: Stem) -> None:
        self.lower_standardising(stem)
        analog = stem.analog_steps
        layers = [stem.analog] * analog + [stem.spikes] * (self.steps - analog)
        self.lower_stateless(name, [layer for layer in layers if layer is not None])

    def lower_stateless(self, name: str, layers: list[nn.Module]) -> None:
        """Add a stateless layer, given as the module of each step."""
        first = layers[0]
        if any(type(layer) is not type(first) for layer in layers):
            raise refusal(name, first, "its steps have layers of different kinds")
        if isinstance(first, nn.Sequential):
            return self.lower_sequence(name, layers)
        self.flush_pending()
        if isinstance(first, nn.Flatten) and first.start_dim == 1 and first.end_dim == -1:
            return self.add(g.Flatten, name)
        if isinstance(first, nn.MaxPool2d | nn.AvgPool2d):
            return self.add(g.Pool, name, **pool_of(name, first))
        if isinstance(first, nn.Identity | nn.Dropout):
            return None  # the identity in evaluation mode
        if type(first) in AFFINE:
            self.pending = _Pending(name, layers)
            return None
        raise refusal(name, first, "the graph has no such layer")

    def lower_sequence(self, name: str, sequences: list[Any]) -> None:
        """Add the layers of a sequence for each step; the last one has the name of the sequence."""
        if len({len(sequence) for sequence in sequences}) > 1:
            raise refusal(name, sequences[0], "its steps have different numbers of layers")
        for i, layers in enumerate(zip(*sequences, strict=True), start=1):
            kind = type(layers[0]).__name__.lower().removeprefix("spike")
            last = i == len(sequences[0])
            self.lower_stateless(name if last else f"{name}.{kind}{i}", list(layers))

    def lower_spiking(self, name: str, layer: SpikingLayer) -> None:
        if layer.norm is not None:
            self.lower_norm(f"{name}.norm", f"{name}_norm", layer.norm)
        self.flush_pending()
        self.add(g.Neuron, name, **neuron_of(name, layer.neuron))
        if layer.pool is not None:
            if not isinstance(layer.pool, nn.MaxPool2d | nn.AvgPool2d):
                raise refusal(f"{name}.pool", layer.pool, "the graph has no such pool")
            self.add(g.Pool, f"{name}_pool", **pool_of(f"{name}_pool", layer.pool))

    def lower_norm(self, path: str, name: str, norm: nn.Module) -> None:
        """Fold a norm into the pending layer; without one, add it as a node of its own."""
        norms = norms_of(path, norm, self.steps)
        if self.pending is not None:
            return self.flush_pending(norms)
        scales = [scale_of(norm) for norm in norms]
        factor, offset = (f32(np.stack(part)) for part in zip(*scales, strict=True))
        return self.add(g.ChannelScale, name, factor=factor, offset=offset)

    def flush_pending(self, norms: list[Any] | None = None) -> None:
        """Add the pending affine layer, with the norm of each step folded in."""
        if self.pending is None:
            return
        name, layers = self.pending
        self.pending = None
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
        """Add a node that reads `inputs`, by default the node before it."""
        self.nodes.append(make(name=name, inputs=inputs or (self.at,), **options))
        self.at = name
