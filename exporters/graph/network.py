"""A trained network as an export graph."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn

from ...core.errors import ConfigError
from ...models.network import SpikingNetwork
from . import ir as g
from .amplitudes import fold_amplitudes
from .answer import Answer
from .arrays import check_finite
from .lowering import Lowering


def lower_network(
    model: SpikingNetwork,
    about: dict[str, Any] | None = None,
    *,
    in_shape: tuple[int, ...] | None = None,
    noise: bool = False,
) -> g.Graph:
    """Return the export graph of a network in evaluation mode.

    Norms are folded in float64 into the affine layer before them, W' = W w / √(v + eps), with the
    statistics of each step. A node has the name of its layer below `body`, such as
    `block1.main.spikes1`; the sum or product at the end of a block has the name of the block.

    Args:
        model: the network, in any mode.
        about: metadata beside the network's configuration.
        in_shape: (C, H, W) of one image, for a network that `create_model` did not build.
        noise: whether the graph has inputs of uniform numbers for layers that draw; else they are
            refused.

    Raises:
        ConfigError: the graph has no node for a layer, or the shape of the input is unknown.
    """
    return fold_amplitudes(lowered_network(model, about, in_shape=in_shape, noise=noise).graph)


class LoweredNetwork(NamedTuple):
    """A network as nodes.

    Attributes:
        graph: before amplitudes are folded.
        neurons: each with the first of its nodes, by the name of the last.
    """

    graph: g.Graph
    neurons: dict[str, tuple[str, nn.Module]]


def lowered_network(
    model: SpikingNetwork,
    about: dict[str, Any] | None = None,
    *,
    in_shape: tuple[int, ...] | None = None,
    noise: bool = False,
) -> LoweredNetwork:
    """Return the nodes of a network and its neurons; see `lower_network`."""
    shape = _in_shape(model, in_shape)
    with torch.no_grad():
        lowering = Lowering(model.coding.steps, noise=noise)
        found = lowering.nodes_of(model)
    graph = g.Graph(
        tuple(found),
        in_shape=shape,
        steps=model.coding.steps,
        static=model.coding.static,
        about={"network": _description(model), **(about or {})},
        answer=lowering.answer,
    )
    check_finite(graph)
    _check_steps(graph)
    assert graph.shapes  # every layer accepts its input
    return LoweredNetwork(graph, lowering.neurons)


def answer_alone(model: SpikingNetwork, about: dict[str, Any] | None = None) -> g.Graph:
    """Return a graph that only says how the answer follows from the outputs of the steps.

    Args:
        model: a network whose readout answers by its `kind`.
        about: as of `lower_network`.
    """
    kind: Any = getattr(model.readout, "kind", "mean")
    return g.Graph(
        (g.Flatten(name="outputs", inputs=(g.INPUT,)),),
        in_shape=_in_shape(model, None),
        steps=model.coding.steps,
        static=model.coding.static,
        about={"network": _description(model), **(about or {})},
        answer=Answer(kind),
    )


def _check_steps(graph: g.Graph) -> None:
    for node in graph.nodes:
        if isinstance(node, g.Neuron):
            for values in (node.leak, node.gain, node.threshold, node.size, node.kappa):
                own = graph.steps_of[node.name]
                if values is not None and len(values) != own:
                    raise ConfigError(
                        f"layer {node.name!r} has parameters for {len(values)} steps, the network "
                        f"makes {own}"
                    )


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
