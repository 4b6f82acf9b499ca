"""The networks that can be converted layer by layer: chains of affine layers and neurons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from ....core.errors import ConfigError
from ....models.layers.batch_norm import PLAIN
from ....models.layers.convolution import AFFINE
from ....models.layers.norm import FoldedNorm
from ....models.layers.spiking import SpikingLayer
from ....models.layers.stem import Stem
from ....models.layers.time import OverTime
from ....models.network import SpikingNetwork
from ....models.neurons.integrate import Integrate
from ....models.readouts import Readout
from ....models.synapses import Synapse

# What a chain computes at each step on its own: affine layers, pools, and changes of the shape.
STATELESS = (
    *AFFINE,
    *PLAIN,
    nn.AvgPool2d,
    nn.MaxPool2d,
    nn.AdaptiveAvgPool2d,
    nn.Flatten,
    nn.Identity,
)

Layers = dict[str, nn.Module]


@dataclass(frozen=True)
class Chain:
    """A network as blocks that end with neurons, and the layers behind the last of them.

    Attributes:
        blocks: by the name of their neurons: affine layers, then a `SpikingLayer` with norm and
            pool. The first begins with the stem.
        tail: what is behind the last neurons; it ends with the readout.
    """

    blocks: dict[str, Layers]
    tail: Layers

    def before(self, block: int) -> Layers:
        """Return the layers of the first blocks, so many."""
        return _joined(list(self.blocks.values())[:block])

    def behind(self, block: int) -> Layers:
        """Return the layers behind the first blocks, so many, with the tail."""
        return _joined([*list(self.blocks.values())[block:], self.tail])


def find_chain(model: SpikingNetwork) -> Chain:
    """Return a network as a chain.

    Raises:
        ConfigError: it is none: with the layer that does not fit, and what to do.
    """
    if not isinstance(model.body, nn.Sequential):
        raise _refused("the network", "its layers are not in a sequence", "use such a network")
    blocks: dict[str, Layers] = {}
    current: Layers = {}
    layers = list(layers_in_order(model.body))
    if not isinstance(layers[-1][1], Readout):
        raise _refused(layers[-1][0], "the last layer is no readout", "end with a readout")
    for number, (name, layer) in enumerate(layers):
        if number == 0:
            _require_stem(name, layer)
        else:
            _require_fitting(name, layer)
        current[name] = layer
        if isinstance(layer, SpikingLayer):
            blocks[name], current = current, {}
    _require_plain_readout(*layers[-1])
    if not blocks:
        raise _refused("the network", "it has no neurons", "use a network with layers of neurons")
    return Chain(blocks, current)


def _joined(parts: list[Layers]) -> Layers:
    return {name: layer for part in parts for name, layer in part.items()}


def layers_in_order(body: nn.Sequential, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers of a sequence and of the sequences in it."""
    for name, layer in body.named_children():
        if type(layer) is nn.Sequential:
            yield from layers_in_order(layer, f"{prefix}{name}_")
        else:
            yield f"{prefix}{name}", layer


def _require_stem(name: str, layer: nn.Module) -> None:
    if type(layer) is not Stem:
        raise _refused(name, "the first layer is no stem", "begin the network with a stem")
    if layer.analog is not None and layer.spikes is not None:
        raise _refused(
            name,
            "analog steps and spikes have weights of their own, an activation has one set",
            "set coding.name=impulse or coding.name=direct",
        )


def _require_fitting(name: str, layer: nn.Module) -> None:
    if isinstance(layer, Synapse):
        raise _refused(name, "a filter over time has no one activation", "set synapse.name=none")
    if type(layer) is SpikingLayer:
        _require_neuron(name, layer)
        return
    inner = layer.layer if type(layer) is OverTime else layer
    fits = isinstance(inner, FoldedNorm | Readout) or type(inner) in STATELESS
    if not fits:
        raise _refused(
            name,
            f"{type(inner).__name__} is no affine layer, norm, neuron or pool",
            "choose a network without residual paths, attention and recurrence, such as "
            "model.name=lenet, mlp or vgg, or method.name=bptt",
        )


def _require_neuron(name: str, layer: SpikingLayer) -> None:
    neuron = layer.neuron
    if type(neuron) is not Integrate:
        raise _refused(
            name,
            f"the mean output of {type(neuron).__name__} is not the activation of a ReLU",
            "set model.neuron=integrate",
        )
    if neuron.learns_amplitude:
        raise _refused(
            name,
            "the amplitudes are calibrated, they are not learned",
            "set neuron.learn_amplitude=false",
        )
    neuron.require_calibratable()
    if layer.norm is not None and type(layer.norm) is not FoldedNorm:
        raise _refused(
            name,
            f"{type(layer.norm).__name__} normalises steps apart, an activation has none",
            "set model.norm=folded",
        )


def _require_plain_readout(name: str, readout: nn.Module) -> None:
    assert isinstance(readout, Readout)
    if not readout.answers_with_mean or type(readout).mean is not Readout.mean:
        raise _refused(
            name,
            "it does not answer with the mean of its outputs over the steps",
            "set readout.name=mean",
        )
    if readout.scale is not None:
        raise _refused(
            name,
            "it weighs the steps, and an activation has none",
            "set model.output_scale=false",
        )


def _refused(name: str, why: str, remedy: str) -> ConfigError:
    return ConfigError(
        f"the method tandem cannot couple this network: {name}", why=why, remedy=remedy
    )
