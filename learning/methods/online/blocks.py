"""A network as blocks that end with neurons, each of which learns by itself at every step."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ....core.errors import ConfigError
from ....models.layers.batch_norm import PLAIN
from ....models.layers.norm import TimeNorm
from ....models.layers.spiking import SpikingLayer
from ....models.network import SpikingNetwork
from ....models.readouts import Readout
from ....models.readouts.last import LastReadout
from ....models.synapses import Synapse
from ..tandem.chain import layers_in_order


@dataclass(frozen=True)
class Blocks:
    """The layers of a network in order.

    Attributes:
        hidden: by the name of their neurons: what is in front of them, and they.
        tail: what is behind the last neurons; it ends with the readout.
    """

    hidden: dict[str, list[nn.Module]]
    tail: list[nn.Module]

    @property
    def readout(self) -> Readout:
        readout = self.tail[-1]
        assert isinstance(readout, Readout)
        return readout


def find_blocks(model: SpikingNetwork, method: str) -> Blocks:
    """Return a network as blocks.

    Raises:
        ConfigError: it is not a chain of layers that can learn at every step.
    """
    if not isinstance(model.body, nn.Sequential):
        raise _refused(method, "the network", "its layers are not in a sequence")
    hidden: dict[str, list[nn.Module]] = {}
    current: list[nn.Module] = []
    for name, layer in layers_in_order(model.body):
        _require_fitting(method, name, layer)
        current.append(layer)
        if isinstance(layer, SpikingLayer):
            hidden[name], current = current, []
    if not current or not isinstance(current[-1], Readout):
        raise _refused(method, "the network", "it does not end with a readout")
    _require_stateless_readout(method, current[-1])
    return Blocks(hidden, current)


def _require_fitting(method: str, name: str, layer: nn.Module) -> None:
    norms = (TimeNorm, *PLAIN)
    if isinstance(layer, norms) or getattr(layer, "norm", None) is not None:
        raise _refused(method, name, "a batch norm needs all steps of its batch")
    if getattr(layer, "steps_per_output", 1) > 1:
        raise _refused(method, name, "a step within a window has no output to teach")
    if isinstance(layer, Synapse) and any(p.requires_grad for p in layer.parameters()):
        raise ConfigError(
            f"{method} does not learn the time constants of {name}",
            why="their gradient is of former steps, of which nothing is kept",
            remedy="set synapse.learn=false",
        )


def _require_stateless_readout(method: str, readout: nn.Module) -> None:
    if type(readout) not in (Readout, LastReadout):
        raise ConfigError(
            f"{method} is not for this readout",
            why="each step is taught its own output, which must not hold former ones",
            remedy="set readout.name=mean or last",
        )
    if readout.scale is not None:
        raise ConfigError(
            f"{method} does not learn scales of the steps",
            why="a scale belongs to one step, and the rule is the same at every step",
            remedy="set model.output_scale=false",
        )


def _refused(method: str, name: str, why: str) -> ConfigError:
    return ConfigError(
        f"{method} cannot teach this network: {name}",
        why=why,
        remedy="set model.name=trace-mlp, or method.name=bptt",
    )
