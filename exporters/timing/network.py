"""A network of exact times as the source of exports."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch

from ...core.errors import ConfigError
from ...models.layers.spiking import use_kernels
from ...models.network import SpikingNetwork
from ...models.timing.layer import TimingConv2d, TimingLayer, timing_layers
from ...models.timing.rel_psp import RelPsp
from ..graph.answer import Answer
from ..graph.ir import Graph
from ..graph.nodes import Node, Shape
from ..source import ExportSource, NetworkOutput

MAX_BYTES = 2**30
"""Of the prefix sums of a layer for one sample."""


@dataclass(frozen=True, kw_only=True)
class Times(Node):
    """The spike times of a layer; the export graph of time steps cannot compute them.

    Attributes:
        sample: the shape of its value.
    """

    sample: Shape

    def shape(self, inputs: list[Shape]) -> Shape:
        return self.sample


@dataclass(frozen=True)
class TimingSource(ExportSource):
    """A network of exact times to export.

    Its graph names the layers; its files are made from the network itself.

    Attributes:
        model: the network, on the CPU, in float64.
    """

    model: SpikingNetwork | None = None

    @property
    def network(self) -> SpikingNetwork:
        """The network."""
        assert self.model is not None
        return self.model

    @property
    def layers(self) -> dict[str, TimingLayer]:
        """Its layers by name."""
        return timing_layers(self.network)


def timing_source(model: SpikingNetwork, about: dict[str, Any] | None = None) -> TimingSource:
    """Return a network of exact times as the source of exports.

    Raises:
        ConfigError: a layer has no form in ONNX, or it would take too much memory.
    """
    model = copy.deepcopy(model).cpu().double().eval()
    use_kernels(model, "reference")
    if model.sample is None or model.sample.kind != "image":
        raise ConfigError(
            "a network of exact times of recordings cannot be exported",
            why="the files take images: the number of events of an address is not known before",
            remedy="use the run itself: asnn predict RUN",
        )
    nodes: list[Node] = []
    with torch.no_grad():
        x = model.coding.encode(torch.zeros(1, *model.sample.shape))
        for name, layer in timing_layers(model).items():
            inputs = layer.inputs(x)
            require_form(name, layer, inputs[..., 0].numel())
            x = layer(x)
            nodes.append(Times(name=name, inputs=("input",), sample=tuple(x.shape[2:-1])))
        nodes.append(Times(name="readout", inputs=(nodes[-1].name,), sample=tuple(x.shape[2:-1])))
    network = {key: value for key, value in model.config.items() if key != "in_shape"}
    graph = Graph(
        tuple(nodes),
        in_shape=model.sample.shape,
        steps=1,
        about={"network": network, **(about or {})},
        answer=Answer("last"),
    )

    def eager(code: torch.Tensor) -> NetworkOutput:
        with torch.no_grad():
            return NetworkOutput(model.run(code))

    return TimingSource(graph, model.coding, eager, model=model)


def require_form(name: str, layer: TimingLayer, inputs: int) -> None:
    """Refuse a layer without a form in ONNX.

    Args:
        name: of the layer.
        layer: a layer of exact times.
        inputs: of all its neurons, for one sample.

    Raises:
        ConfigError: it has other neurons, or takes too much memory.
    """
    if type(layer.neuron) is not RelPsp:
        raise ConfigError(
            f"layer {name!r} of {type(layer.neuron).__name__} neurons has no form in ONNX",
            why="the exporter sorts times and takes prefix sums, which give one spike of rel-psp",
            remedy="use the run itself: asnn predict RUN",
        )
    if isinstance(layer, TimingConv2d) and layer.padding:
        raise ConfigError(
            f"layer {name!r} has no form in ONNX",
            why="its windows reach over the border of the image",
            remedy="build it without padding",
        )
    size = 8 * inputs * len(layer.weight)
    if size > MAX_BYTES:
        raise ConfigError(
            f"layer {name!r} would take {size / 2**30:.1f} GiB for one image",
            why="prefix sums of all neurons over all inputs are in memory at once",
            remedy="train a network with smaller layers",
        )


def refuse_times(source: ExportSource) -> None:
    """Refuse a network of exact times for NIR.

    Raises:
        ConfigError: with the reason.
    """
    if isinstance(source, TimingSource):
        neuron = type(next(iter(source.layers.values())).neuron).__name__
        raise ConfigError(
            f"NIR has no node for a network of {neuron} neurons",
            why="no synapse of NIR opens a ramp at a spike, and its neurons fire more than once",
            remedy="export to ONNX: asnn export RUN --format onnx",
        )
