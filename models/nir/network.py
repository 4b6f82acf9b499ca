"""The network `nir`: that of a NIR file."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ...core.errors import ConfigError
from ...core.registry import unknown
from ..network import BuildContext, SpikingNetwork
from .graph import NirGraph
from .nodes import Setting
from .outputs import OUTPUTS
from .semantics import semantics_of


def nir(
    ctx: BuildContext,
    *,
    nodes: dict[str, dict[str, Any]],
    edges: list[list[str]],
    dt: float,
    semantics: str = "nir",
    surrogate: str = "sigmoid",
) -> SpikingNetwork:
    """Build the graph of a NIR file, whose output of each step is that of the network.

    `model.neuron` does not apply. The tensors of the network are the arrays of the file: weights
    are learned, those of neurons are not. Samples of another shape with as many values are
    flattened, or the other way round.

    Args:
        ctx: shapes, coding, and `mean` or `last` as the name of the readout.
        nodes: the type of each node by name, its windows, and the shapes of its arrays.
        edges: pairs of names.
        dt: length of a step in seconds.
        semantics: of what the format leaves open: `nir`, or the simulator that wrote the file.
        surrogate: of the derivative of spikes.

    Raises:
        ConfigError: the nodes are not those of a network, or take other samples or have another
            number of outputs.
    """
    if not dt > 0:
        raise ConfigError(f"dt is {dt}", why="it is the length of a step in seconds, above 0")
    if ctx.readout not in OUTPUTS:
        raise unknown("readout of the network nir", ctx.readout, list(OUTPUTS))
    setting = Setting(dt, semantics_of(semantics), surrogate)
    graph = NirGraph(nodes, edges, ctx.in_shape, setting)
    if graph.features != ctx.classes:
        raise ConfigError(
            f"the network has {graph.features} outputs, and {ctx.classes} are wanted",
            why="its outputs are those of the file, one a class",
            remedy="choose data with as many classes",
        )
    readout = OUTPUTS[ctx.readout](ctx.classes)
    layers = OrderedDict[str, nn.Module](network=graph, readout=readout)
    return SpikingNetwork(ctx.coding, nn.Sequential(layers))


def trial_shapes(options: Mapping[str, Any]) -> tuple[tuple[int, ...], int]:
    """Return the shape of a sample and the number of outputs that a network of these options has,
    without memory for its arrays.

    Raises:
        ConfigError: the nodes are not those of a network.
    """
    setting = Setting(options["dt"], semantics_of(options["semantics"]))
    inputs = [node for node in options["nodes"].values() if node.get("type") == "Input"]
    shape = tuple(int(each) for each in inputs[0].get("shape", ())) if inputs else ()
    with torch.device("meta"):
        return shape, NirGraph(options["nodes"], options["edges"], shape, setting).features
