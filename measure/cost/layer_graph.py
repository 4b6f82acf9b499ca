"""What a network computes with, layer by layer, and whether a layer is given spikes or values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from torch import nn

from ...models.layers.attention import SelfAttention
from ...models.layers.norm import TimeNorm
from ...models.layers.residual import Residual
from ...models.layers.spiking import SpikingLayer
from ...models.layers.stem import Stem
from ...models.layers.time import OverTime
from ...models.readouts import Readout

Kind = Literal["conv", "linear", "pool", "attention", "join", "neuron"]


@dataclass(frozen=True)
class LayerInfo:
    """A layer that does arithmetic.

    Attributes:
        name: of the layer, below the body.
        kind: what it is; `join` is the sum at the end of a residual block.
        layer: the module; of a join, its shortcut.
        spikes: whether all that it is given is 0 or 1, by its place in the network.
        first: the step, from 0, at which it is used first.
        stem: the stem whose first weights these are, None elsewhere.
    """

    name: str
    kind: Kind
    layer: nn.Module
    spikes: bool = False
    first: int = 0
    stem: Stem | None = None


@dataclass
class LayerGraph:
    """The layers of a network's body, in order of computation.

    Spikes stay spikes in max-pools, where they are gated by spikes (`and`, `iand`) and where a
    tensor only changes its shape; sums and means of spikes are values. What stands within a part
    of another package counts as given values.

    Attributes:
        wires: what does arithmetic.
        unknown: names of layers that have parameters, and that nothing is known of.
    """

    wires: list[LayerInfo] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @staticmethod
    def of(body: nn.Module) -> LayerGraph:
        """Return the wiring of a network's body."""
        found = LayerGraph()
        found._take("", body, spikes=False)
        return found

    def _take(self, name: str, part: nn.Module, *, spikes: bool) -> bool:
        """Add a part that is given spikes, or values; return whether it gives spikes."""
        match part:
            case Stem():
                return self._take_stem(name, part)
            case SpikingLayer():
                self._add(LayerInfo(name, "neuron", part))
                fires = getattr(part.neuron, "spiking", True)
                return fires if part.pool is None else self._take(name, part.pool, spikes=fires)
            case OverTime():
                return self._take(name, part.layer, spikes=spikes)
            case Readout():
                return self._take(name, part.linear, spikes=spikes)
            case nn.Sequential():
                for key, child in part._modules.items():  # a layer may stand in several places
                    assert child is not None
                    spikes = self._take(_below(name, key), child, spikes=spikes)
                return spikes
            case Residual():
                return self._take_residual(name, part, spikes)
            case SelfAttention():
                self._add(LayerInfo(name, "attention", part, spikes))
                return False
            case nn.Conv2d() | nn.Linear():
                kind = "conv" if isinstance(part, nn.Conv2d) else "linear"
                self._add(LayerInfo(name, kind, part, spikes))
                return False
            case nn.AvgPool2d():
                self._add(LayerInfo(name, "pool", part, spikes))
                return False
            case nn.MaxPool2d() | nn.Flatten() | nn.Identity() | nn.Dropout():
                return spikes
            case TimeNorm() | nn.BatchNorm1d() | nn.BatchNorm2d():
                return False  # a factor and an offset of the neuron's input
        if any(True for _ in part.parameters(recurse=False)):
            self.unknown.append(name)
        for key, child in part.named_children():
            self._take(_below(name, key), child, spikes=False)
        return False

    def _add(self, wire: LayerInfo) -> None:
        """Add a layer; one that is used again is given spikes if it always is."""
        for i, known in enumerate(self.wires):
            if known.layer is wire.layer:
                self.wires[i] = replace(known, spikes=known.spikes and wire.spikes)
                return
        self.wires.append(wire)

    def _take_stem(self, name: str, part: Stem) -> bool:
        paths = {"analog": part.analog, "spikes": part.spikes}
        for key, path in paths.items():
            if path is None:
                continue
            begin = len(self.wires)
            self._take(_below(name, key), path, spikes=key == "spikes")
            steps = part.analog_steps if key == "spikes" else 0
            self.wires[begin:] = [replace(wire, first=steps) for wire in self.wires[begin:]]
            self.wires[begin] = replace(self.wires[begin], stem=part)
        return False

    def _take_residual(self, name: str, part: Residual, spikes: bool) -> bool:
        fires = self._take(_below(name, "main"), part.main, spikes=spikes)
        other = self._take(_below(name, "shortcut"), part.shortcut, spikes=spikes)
        if part.join == "add":
            self.wires.append(LayerInfo(name, "join", part.shortcut, other))
            return False
        return fires and other


def _below(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
