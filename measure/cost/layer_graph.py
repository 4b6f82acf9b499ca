"""The layers of a network that do arithmetic, and whether their inputs are spikes or values."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor, nn

from ...models.layer import VALUES, Signal, answers

Operation = Literal["ac", "mac"]
STRENGTH = {
    "spikes": 0,
    "counts": 1,
    "graded": 1,
    "values": 2,
}  # what holds for two signals is the stronger


@dataclass(frozen=True)
class LayerInfo:
    """A layer that does arithmetic.

    Attributes:
        name: of the layer, below the body.
        kind: of the layer, such as `conv`, `linear`, `pool`, `attention`, `recurrent`, `lstm` or
            `filter`; `join` is the sum at the end of a residual block, `neuron` a layer of neurons.
        layer: the module; for a join, its shortcut.
        given: what its inputs are, by the layer's position in the network.
        operation: `ac` if it adds weights or values, `mac` if it adds products.
        first: the first step, from 0, at which it is used.
        called: the module whose call is observed, if this is the first layer of a stem.
        inputs: returns the input of the layer from that of `called`.
        every: how many steps of the network a step of the layer takes: the length of the windows of
            an accumulator before it.
    """

    name: str
    kind: str
    layer: nn.Module
    given: Signal = VALUES
    operation: Operation = "mac"
    first: int = 0
    called: nn.Module | None = None
    inputs: Callable[[Tensor], Tensor] | None = None
    every: int = 1

    @property
    def spikes(self) -> bool:
        """Whether every input is 0 or one amplitude."""
        return self.given.kind == "spikes"


@dataclass
class LayerGraph:
    """The layers of a network's body, in order of computation: each lists its own arithmetic.

    The output of a max-pool, of a gate (`and`, `iand`) or of a reshape of spikes is spikes. A
    mean pool of spikes is their number times a factor, which is part of the next weights: counts.
    Other sums of spikes are values. Layers inside a module of another package have values as input.

    Attributes:
        graded: whether a count is sent as one spike with a number.
        layers: those that do arithmetic.
        unknown: names of other modules with parameters, whose arithmetic is not counted.
        every: of the next layer, see `LayerInfo`.
    """

    graded: bool = False
    layers: list[LayerInfo] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    every: int = 1

    @staticmethod
    def of(body: nn.Module, *, graded: bool = False) -> LayerGraph:
        """Return the graph of a network's body."""
        found = LayerGraph(graded)
        found.visit("", body, VALUES)
        return found

    def visit(self, name: str, part: nn.Module, x: Signal) -> Signal:
        """List a part with the input `x`; return what its output is."""
        if answers(part, "list_operations"):
            return part.list_operations(self, name, x)  # type: ignore[operator]
        match part:
            case nn.Sequential() if type(part).forward is nn.Sequential.forward:
                for key, child in part._modules.items():  # a layer may be in it more than once
                    assert child is not None
                    x = self.visit(_below(name, key), child, x)
                return x
            case nn.Conv2d() | nn.Linear():
                self.add(name, "conv" if isinstance(part, nn.Conv2d) else "linear", part, x)
                return VALUES
            case nn.AvgPool2d():
                self.add(name, "pool", part, x, operation="ac")
                return _mean_of(x, part)
            case nn.MaxPool2d() | nn.Flatten() | nn.Identity() | nn.Dropout():
                return x
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                return VALUES  # scales and shifts the input of the next layer
        if any(True for _ in part.parameters(recurse=False)):
            self.unknown.append(name)
        for key, child in part.named_children():
            self.visit(_below(name, key), child, VALUES)
        return VALUES

    def visit_from(
        self,
        name: str,
        part: nn.Module,
        x: Signal,
        *,
        of: nn.Module,
        inputs: Callable[[Tensor], Tensor],
        first: int,
    ) -> Signal:
        """List a part whose first layer is counted where the module `of` is called."""
        begin = len(self.layers)
        out = self.visit(name, part, x)
        self.layers[begin:] = [replace(info, first=first) for info in self.layers[begin:]]
        if len(self.layers) > begin:
            self.layers[begin] = replace(self.layers[begin], called=of, inputs=inputs)
        return out

    def add(
        self,
        name: str,
        kind: str,
        layer: nn.Module,
        x: Signal,
        *,
        operation: Operation | None = None,
    ) -> None:
        """List arithmetic; if the layer is used again, `x` is what holds for all its inputs."""
        if self.graded and x.kind == "counts":
            x = x._replace(kind="graded")
        if operation is None:
            operation = "ac" if x.kind in ("spikes", "counts") else "mac"
        for i, known in enumerate(self.layers):
            if known.layer is layer and known.kind == kind:
                weaker = known.operation == "mac" or operation == "mac"
                self.layers[i] = replace(
                    known,
                    given=_both(known.given, x),
                    operation="mac" if weaker else "ac",
                )
                return
        self.layers.append(LayerInfo(name, kind, layer, x, operation, every=self.every))

    def in_windows(self, steps: int) -> None:
        """Say that the layers listed from now on have a step for so many of those before."""
        self.every *= steps


def _both(a: Signal, b: Signal) -> Signal:
    """Return what holds for both of two signals."""
    if not _same(a.amplitude, b.amplitude) or a.held != b.held:
        return VALUES
    return max(a, b, key=lambda signal: STRENGTH[signal.kind])


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b or (a is not None and b is not None and torch.equal(a, b))


def _mean_of(x: Signal, pool: nn.AvgPool2d) -> Signal:
    """Return what a mean pool sends: of whole numbers their sum, times a part of the amplitude.

    It is values where the windows at the edges are divided by other numbers.
    """
    padded = pool.padding not in (0, (0, 0)) and not pool.count_include_pad
    by_window = pool.divisor_override is None and (padded or pool.ceil_mode)
    if x.kind == "values" or by_window:
        return VALUES
    size = pool.kernel_size
    window = math.prod(size) if isinstance(size, tuple) else size * size
    amplitude = torch.ones(()) if x.amplitude is None else x.amplitude
    return Signal("counts", amplitude / (pool.divisor_override or window), x.held)


def _below(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
