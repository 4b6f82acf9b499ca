"""The source of an export: the export graph, its coding, and the network it was lowered from."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..coding.base import Coding
from ..coding.draws import drawing
from ..core.errors import ConfigError
from ..models.clocked import clocked, has_windows
from ..models.layer import answers, whole_numbers
from ..models.layers.spiking import SpikingLayer, use_kernels
from ..models.network import SpikingNetwork
from ..models.nir.graph import graph_of
from ..models.timing.clocked import default_step, has_many_times, on_clock
from ..models.timing.layer import timing_layers
from .draws import draw_noise, keys_of
from .exact_times import ExactTimes
from .graph.amplitudes import fold_amplitudes
from .graph.ir import Array, Graph
from .graph.network import answer_alone, lowered_network
from .verification.neurons import LoweredNeuron, check_neurons

if TYPE_CHECKING:
    from .boxes.rule import BoxRule

BATCH = 64


class NetworkOutput(NamedTuple):
    """The output of a network in torch.

    Attributes:
        logits: of each step `[T, B, K]`; None if the network returns its answer alone.
        answer: of the readout `[B, K]`; None if it is that of the graph.
        spikes: of each layer `[T, B, ...]`, whole numbers, by the name of its node; None if they
            are not recorded.
    """

    logits: Tensor | None
    spikes: dict[str, Tensor] | None = None
    answer: Tensor | None = None


@dataclass(frozen=True)
class ExportSource:
    """A network to export.

    Attributes:
        graph: exporters write it, and verification compares with it.
        coding: from samples to the steps that the graph reads.
        eager: the network in torch, called with a code `[T, B, C, H, W]`.
        weights_sha256: of the file of the weights; None if they are not from a file.
        exact: of a network of exact times, which the graph computes in steps.
        boxes: of a detector, how boxes follow from its answer; None if files do not have them.
        imported: the network, if it is from a NIR file; None otherwise.
        refusal: why there is no graph of it, of an imported network with a loop or node that the
            graph does not have: `graph` then has its answer alone.
    """

    graph: Graph
    coding: Coding
    eager: Callable[[Tensor], NetworkOutput]
    weights_sha256: str | None = None
    exact: ExactTimes | None = None
    boxes: BoxRule | None = None
    imported: SpikingNetwork | None = None
    refusal: ConfigError | None = None

    def require_graph(self) -> None:
        """Refuse a network without a graph.

        Raises:
            ConfigError: with the reason.
        """
        if self.refusal is not None:
            raise self.refusal

    @property
    def takes_images(self) -> bool:
        """Whether the samples are images; otherwise they are encoded: `[N, T, ...]`."""
        return "image" in self.coding.takes

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample to verify with."""
        shape = self.graph.in_shape
        return shape if self.takes_images else (self.graph.steps, *shape)

    def encode(self, samples: Array, first: int = 0) -> Array:
        """Return the code of samples `[T, B, ...]`, the first of which has the index `first`."""
        if not self.takes_images:
            return samples.swapaxes(0, 1)
        # What is drawn for a sample depends on its place, as in an evaluation.
        with drawing(keys_of(first, len(samples))):
            return self.coding.encode(torch.from_numpy(samples)).numpy()

    def noise(self, number: int, first: int = 0) -> dict[str, Array]:
        """Return what the network draws for samples, the first of which has the index `first`: for
        each of `graph.noise` uniform numbers `[T, B, ...]`."""
        return draw_noise(self.graph.noise, keys_of(first, number), self.graph.steps)

    def with_graph(self, graph: Graph) -> ExportSource:
        """Return the source with another graph."""
        return replace(self, graph=graph)


def source_of(
    model: SpikingNetwork,
    about: dict[str, Any] | None = None,
    *,
    in_shape: tuple[int, ...] | None = None,
    noise: bool = False,
    dt: float | None = None,
) -> ExportSource:
    """Return a trained network as the source of exports; the network itself is not changed.

    Args:
        model: the network.
        about: metadata for the file, beside the network's configuration.
        in_shape: (C, H, W) of one image, needed if `create_model` did not build the network.
        noise: for a network that draws, whether its random numbers are inputs of the files.
        dt: of a network of many exact times, the step of the files; 1/100 of the window of its code
            by default.

    Raises:
        ConfigError: the graph has no node for a layer, a layer draws without `noise`, the shape of
            the input is unknown, a layer of exact times has no form, or `dt` is of no file of this
            network or does not divide the window.
        VerificationError: a neuron of another package computes something else than it says.
    """
    many_times = has_many_times(model)
    if dt is not None and not many_times:
        raise _refused_step(model, dt)
    if timing_layers(model) and not many_times:
        from .timing.network import timing_source  # it is a source itself

        return timing_source(model, about)
    if not answers(model.readout, "lower"):
        raise ConfigError(
            f"a network with the readout {type(model.readout).__name__} cannot be exported",
            why="it does not say how: it has no method `lower` of its own",
            remedy="train it with readout.name=mean",
        )
    exact = None
    if many_times:
        network = copy.deepcopy(model).cpu().eval()
        exact = ExactTimes(network, default_step(network) if dt is None else float(dt))
        model = on_clock(*exact)
    model = copy.deepcopy(model).cpu().float().eval()
    if has_windows(model):
        model = clocked(model)
    use_kernels(model, "reference")
    spikes: dict[str, Tensor] = {}
    for name, layer in model.body.named_modules():
        if isinstance(layer, SpikingLayer):
            layer.neuron.register_forward_hook(_recorder(spikes, name, layer))

    def eager(code: Tensor) -> NetworkOutput:
        with torch.no_grad():
            logits = model.run(code)
            return NetworkOutput(logits, dict(spikes), model.readout.decide(logits).scores)

    imported = model if graph_of(model) is not None else None
    try:
        lowered = lowered_network(model, about, in_shape=in_shape, noise=noise)
    except ConfigError as error:
        if imported is None:
            raise
        graph = answer_alone(imported, about)
        return ExportSource(graph, model.coding, eager, imported=imported, refusal=error)
    neurons = {
        name: LoweredNeuron(first, neuron, neuron)
        for name, (first, neuron) in lowered.neurons.items()
    }
    check_neurons(lowered.graph, neurons)
    graph = fold_amplitudes(lowered.graph)
    return ExportSource(graph, model.coding, eager, exact=exact, imported=imported)


def _refused_step(model: SpikingNetwork, dt: float) -> ConfigError:
    """Return the error for a step of a network whose files have none, or steps of their own."""
    if timing_layers(model):
        return ConfigError(
            f"the file of this network has no steps, and dt is {dt:g}",
            why="its neurons fire once, at times that the file computes exactly",
            remedy="leave dt out",
        )
    return ConfigError(
        f"this network has no exact times, and dt is {dt:g}",
        why="dt is the step of the files of neurons that fire many times, such as multi-spike; "
        "this network has time steps of its own",
        remedy="leave dt out",
    )


def _recorder(
    spikes: dict[str, Tensor], name: str, layer: SpikingLayer
) -> Callable[[Any, Any, Tensor], None]:
    def record(_: Any, __: Any, output: Tensor) -> None:
        # As neurons of the graph send them.
        own = getattr(layer.neuron, "node_value", None)
        amplitude = getattr(layer.neuron, "amplitude", None)
        sent = whole_numbers(output, amplitude, 2) if own is None else own(output)
        spikes[name] = layer.arranged(sent)

    return record


@dataclass(frozen=True)
class Samples:
    """Samples with their classes, to verify with.

    Attributes:
        images: images `[N, C, H, W]`, float32, from 0 to 1; or encoded samples `[N, T, ...]` of a
            network that takes events or series.
        labels: `[N]`, or None if unknown.
        name: where they come from.
    """

    images: Array
    labels: Array | None
    name: str

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int = BATCH) -> Iterator[tuple[Array, slice]]:
        """Yield the images in batches of `size`, each with its slice of the samples."""
        for begin in range(0, len(self.images), size):
            part = slice(begin, begin + size)
            yield np.ascontiguousarray(self.images[part], np.float32), part


def random_samples(shape: tuple[int, ...], number: int = 64, seed: int = 0) -> Samples:
    """Return samples of uniform noise, for a network without data."""
    images = np.random.default_rng(seed).random((number, *shape), np.float32)
    return Samples(images, None, f"uniform noise (seed {seed})")
