"""The layers of a network that do arithmetic, and whether their inputs are spikes or values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from torch import nn

from ...models.layers.attention import SelfAttention
from ...models.layers.lstm import Lstm, Standardised
from ...models.layers.norm import TimeNorm
from ...models.layers.recurrent import Recurrent
from ...models.layers.residual import Residual
from ...models.layers.spiking import SpikingLayer
from ...models.layers.stem import Stem
from ...models.layers.time import OverTime
from ...models.readouts import Readout

Kind = Literal["conv", "linear", "pool", "attention", "join", "recurrent", "lstm", "neuron"]


@dataclass(frozen=True)
class LayerInfo:
    """A layer that does arithmetic.

    Attributes:
        name: of the layer, below the body.
        kind: of the layer; `join` is the sum at the end of a residual block, `recurrent` are the
            recurrent weights of a layer of neurons.
        layer: the module; for a join, its shortcut.
        spikes: whether every input is 0 or 1, by the layer's position in the network.
        first: the first step, from 0, at which it is used.
        stem: the stem, if this is its first layer; None otherwise.
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

    The output of a max-pool, of a gate (`and`, `iand`) or of a reshape of spikes is spikes; sums
    and means of spikes are values. Layers inside a module of another package have values as input.

    Attributes:
        layers: those that do arithmetic.
        unknown: names of other modules with parameters, whose arithmetic is not counted.
    """

    layers: list[LayerInfo] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @staticmethod
    def of(body: nn.Module) -> LayerGraph:
        """Return the graph of a network's body."""
        found = LayerGraph()
        found._visit("", body, spikes=False)
        return found

    def _visit(self, name: str, part: nn.Module, *, spikes: bool) -> bool:
        """Add a part with spikes or values as input; return whether its output is spikes."""
        match part:
            case Stem():
                return self._visit_stem(name, part)
            case SpikingLayer():
                self._visit_neuron(name, part.neuron)
                self._add(LayerInfo(name, "neuron", part))
                fires = getattr(part.neuron, "spiking", True)
                return fires if part.pool is None else self._visit(name, part.pool, spikes=fires)
            case OverTime():
                return self._visit(name, part.layer, spikes=spikes)
            case Readout():
                return self._visit(name, part.linear, spikes=spikes)
            case nn.Sequential():
                for key, child in part._modules.items():  # a layer may be in it more than once
                    assert child is not None
                    spikes = self._visit(_below(name, key), child, spikes=spikes)
                return spikes
            case Residual():
                return self._visit_residual(name, part, spikes)
            case SelfAttention():
                self._add(LayerInfo(name, "attention", part, spikes))
                return False
            case nn.Conv2d() | nn.Linear():
                kind = "conv" if isinstance(part, nn.Conv2d) else "linear"
                self._add(LayerInfo(name, kind, part, spikes))
                return False
            case Lstm():
                self._add(LayerInfo(name, "lstm", part))
                return False
            case nn.AvgPool2d():
                self._add(LayerInfo(name, "pool", part, spikes))
                return False
            case nn.MaxPool2d() | nn.Flatten() | nn.Identity() | nn.Dropout():
                return spikes
            case TimeNorm() | nn.BatchNorm1d() | nn.BatchNorm2d() | Standardised():
                return False  # scales and shifts the input of the next layer
        if any(True for _ in part.parameters(recurse=False)):
            self.unknown.append(name)
        for key, child in part.named_children():
            self._visit(_below(name, key), child, spikes=False)
        return False

    def _visit_neuron(self, name: str, neuron: nn.Module) -> None:
        """Add the weights inside neurons: recurrent ones, and layers in neurons of other packages,
        which have values as input. Their other parameters are part of the update."""
        for key, part in neuron.named_modules():
            if isinstance(part, Recurrent):
                self._add(LayerInfo(_below(name, "recurrent"), "recurrent", part, spikes=True))
            elif isinstance(part, nn.Conv2d | nn.Linear):
                self._visit(_below(f"{name}.neuron", key), part, spikes=False)

    def _add(self, info: LayerInfo) -> None:
        """Add a layer; if it is used again, its input is spikes only if every input is."""
        for i, known in enumerate(self.layers):
            if known.layer is info.layer:
                self.layers[i] = replace(known, spikes=known.spikes and info.spikes)
                return
        self.layers.append(info)

    def _visit_stem(self, name: str, part: Stem) -> bool:
        paths = {"analog": part.analog, "spikes": part.spikes}
        for key, path in paths.items():
            if path is None:
                continue
            begin = len(self.layers)
            self._visit(_below(name, key), path, spikes=key == "spikes")
            first = part.analog_steps if key == "spikes" else 0
            self.layers[begin:] = [replace(info, first=first) for info in self.layers[begin:]]
            self.layers[begin] = replace(self.layers[begin], stem=part)
        return False

    def _visit_residual(self, name: str, part: Residual, spikes: bool) -> bool:
        fires = self._visit(_below(name, "main"), part.main, spikes=spikes)
        other = self._visit(_below(name, "shortcut"), part.shortcut, spikes=spikes)
        if part.join == "add":
            self.layers.append(LayerInfo(name, "join", part.shortcut, other))
            return False
        return fires and other


def _below(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
