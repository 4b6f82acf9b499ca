"""Folds the steps of a loop: the same layer, on the same values a step later, is one layer.

In the first step, a value of the step before is a constant: 0, or what layers compute of 0, such as
the bias of recurrent weights. The second step shows which layer it is the value of.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...core.errors import ConfigError
from ..graph import ir as g
from .calls import ONE_STEP
from .names import Names
from .values import ALL, Axes, Const, Signal, Step


class Edge(NamedTuple):
    """The value of a layer, `lag` steps before; before the first step it is `start`, None for 0."""

    layer: str
    lag: int
    start: Const | None = None


Operand = Edge | Const
Make = Callable[[str, list[Any]], list[g.Node]]
"""Returns the nodes of a layer, given its name and its operands: names of nodes, and constants. The
last node has the name of the layer; without nodes, its value is that of its first operand."""


class Elementwise(NamedTuple):
    """A function of each value by itself.

    Attributes:
        function: of torch, of as many values as the layer has operands.
        tensor: returns a constant as it is beside a sample.
    """

    function: Callable[..., Any]
    tensor: Callable[[Const], Any]

    def __call__(self, *operands: Any) -> Any:
        return self.function(*(self.tensor(x) if isinstance(x, Const) else x for x in operands))


class Known(NamedTuple):
    """What identifies a call: what it computes, of what, and its number in its step."""

    key: Hashable
    operands: tuple[Hashable, ...]
    number: int


class StepCall(NamedTuple):
    """What a layer computes in one step.

    Attributes:
        make: returns its nodes.
        constants: its operands, None for those that are none.
    """

    make: Make
    constants: tuple[Const | None, ...]


@dataclass
class FoldedLayer:
    """A layer of one step.

    Attributes:
        name: of its node.
        where: its path in the network, or the name of the function.
        key: of what it computes; equal for the same layer in another step.
        operands: what it reads.
        shape: of a sample of its value.
        make: returns its nodes.
        weights: of a linear layer or convolution, weight and bias, where it has them.
        factor: of a multiplication by a constant, `[1, C]` or `[1, 1]`, where it is one.
        signs: by what it multiplies its operands, where it adds them.
        widths: of the values that it joins, where it does.
        known: what identifies its calls.
        neuron: of snnTorch or asnn, where it is one.
        membrane_of: the layer of the spikes of the neuron of which it is the membrane.
        elementwise: the function of its operands, where it is one.
        kind: the class of the layer of torch; empty for a function.
        module: the path of the module of the user that it is in.
        is_static: whether it depends on an image alone.
        family: what it computes, whatever its numbers; None of neurons.
        calls: of each step, where steps differ.
        varies: whether its numbers differ between steps.
        until: the latest step in which it was called with these operands.
    """

    name: str
    where: str
    key: Hashable
    operands: list[Operand]
    shape: g.Shape
    make: Make
    weights: tuple[Any, Any] | None = None
    factor: g.Array | None = None
    signs: tuple[float, ...] = ()
    widths: tuple[int, ...] = ()
    known: Any = None
    neuron: Any = None
    membrane_of: str = ""
    elementwise: Elementwise | None = None
    kind: str = ""
    module: str = ""
    is_static: bool = False
    until: float = -1
    family: Hashable = None
    calls: dict[int, StepCall] = field(default_factory=dict)
    varies: bool = False

    @property
    def edges(self) -> list[Edge]:
        return [operand for operand in self.operands if isinstance(operand, Edge)]


@dataclass
class Folding:
    """The layers so far.

    Attributes:
        layers: by name, in the order of their first calls.
        known: their names, by key, operands, and which call with them it is in its step.
        calls: the number of calls by step, key and operands.
        reads_image, reads_steps: whether layers read the input itself, or steps of it.
    """

    in_shape: g.Shape
    layers: dict[str, FoldedLayer] = field(default_factory=dict)
    known: dict[Hashable, str] = field(default_factory=dict)
    calls: Counter[Hashable] = field(default_factory=Counter)
    names: Names = field(default_factory=Names)
    reads_image: bool = False
    reads_steps: bool = False

    def shape(self, layer: str) -> g.Shape:
        """Return the shape of a sample of the value of a layer, or of the input."""
        return self.in_shape if layer == g.INPUT else self.layers[layer].shape

    def step_of(self, where: str, inputs: list[Signal]) -> Step:
        """Return the step of a layer of these inputs.

        Raises:
            ConfigError: some are of one step and others of all.
        """
        for x in inputs:
            if x.layer == g.INPUT:
                self.reads_image |= x.step is None
                self.reads_steps |= isinstance(x.step, int)
        steps = {x.step for x in inputs} - {None}
        if ALL in steps and len(steps) > 1:
            raise ConfigError(
                f"{where!r} reads all steps of one value and one step of another", remedy=ONE_STEP
            )
        return ALL if ALL in steps else max(steps, default=None)  # type: ignore[type-var,arg-type]

    def call(
        self,
        where: str,
        kind: str,
        key: Hashable,
        inputs: list[Signal | Const],
        shape: g.Shape,
        make: Make,
        *,
        axes: Axes,
        step: Step = None,
        **more: Any,
    ) -> Signal:
        """Return the value of a call, of a new layer or of one that an earlier step has called.

        Args:
            where: the path of the layer, or the name of the function.
            kind: the class of the layer; empty for a function.
            key: of what it computes.
            inputs: what it reads.
            shape: of a sample of its value.
            make: returns its nodes.
            axes: of its value.
            step: in which it is called; by default that of its latest input.
            more: further attributes of the layer.
        """
        signals = [x for x in inputs if isinstance(x, Signal)]
        at = self.step_of(where, signals)
        at = at if step is None else step
        operands = [_operand(x, at) for x in inputs]
        known = self._known(key, operands, at)
        name = self.known.get(known)
        if name is None and isinstance(at, int) and at > 0:
            name = self._continued(known, operands) or self._varied(
                key, more.get("family"), operands, at
            )
        if name is None:
            name = self.names.of(where, kind)
            self.names.reserve(name)
            more |= {"kind": kind, "is_static": at is None}
            layer = FoldedLayer(name, where, key, operands, shape, make, known=known, **more)
            self.layers[name] = layer
        self.known[known] = name
        called = self.layers[name]
        called.until = max(called.until, at if isinstance(at, int) else math.inf)
        if isinstance(at, int):
            called.calls[at] = StepCall(make, _constants(operands))
        return Signal(name, at, axes)

    def _known(self, key: Hashable, operands: list[Operand], at: Step) -> Known:
        """Return what identifies a call; two of a step with the same operands are two layers, since
        states that begin alike are not the same."""
        operands_of = tuple(map(_identity, operands))
        if not isinstance(at, int):
            return Known(key, operands_of, 0)
        self.calls[at, key, operands_of] += 1
        return Known(key, operands_of, self.calls[at, key, operands_of])

    def _continued(self, known: Known, operands: list[Operand]) -> str | None:
        """Return a layer of the first step which these operands show to read the step before.

        That step's operands are not those of the layer from then on. Constants of elementwise
        functions may be any values before the first step, if no layer has the zeros of one.
        """
        for starts in (False, True):
            for layer in list(self.layers.values()):
                if layer.key != known.key or len(layer.operands) != len(operands):
                    continue
                if starts and layer.elementwise is None:
                    continue
                for order in [operands, operands[::-1]] if _commutes(known.key) else [operands]:
                    pairs = list(zip(layer.operands, order, strict=True))
                    if all(
                        self._continues(a, b, layer.until)
                        or (starts and _starts(a, b, layer.until))
                        for a, b in pairs
                    ):
                        self.known.pop(layer.known, None)
                        layer.operands = [self._delayed(a, b) for a, b in pairs]
                        layer.known = known._replace(operands=tuple(map(_identity, layer.operands)))
                        self.known[layer.known] = layer.name
                        return layer.name
        return None

    def _varied(
        self, key: Hashable, family: Hashable, operands: list[Operand], at: int
    ) -> str | None:
        """Return a layer that is the same in this step but for its numbers, such as the norm of
        each step."""
        for layer in list(self.layers.values()):
            if family is None or layer.family != family or set(layer.calls) != set(range(at)):
                continue
            pairs = list(zip(layer.operands, operands, strict=True))
            if all(self._is_alike(a, b) for a, b in pairs):
                numbers = any(isinstance(a, Const) and a != b for a, b in pairs)
                layer.varies |= layer.key != key or numbers
                for a, b in pairs:
                    self._vary(a, b, at)
                return layer.name
        return None

    def _is_alike(self, a: Operand, b: Operand) -> bool:
        """Return whether two operands differ by numbers alone, those of images of whole chains."""
        if isinstance(a, Const) or isinstance(b, Const):
            return isinstance(a, Const) and isinstance(b, Const)
        if a == b:
            return True
        if a.lag or b.lag or not self.layers.keys() >= {a.layer, b.layer}:
            return False
        first, other = self.layers[a.layer], self.layers[b.layer]
        return (
            (first.is_static or first.varies)
            and other.is_static
            and None is not first.family == other.family
            and all(map(self._is_alike, first.operands, other.operands))
        )

    def _vary(self, a: Operand, b: Operand, at: int) -> None:
        """Let the layer of an operand be that of another in a step."""
        if a == b or not (isinstance(a, Edge) and isinstance(b, Edge)):
            return
        first, other = self.layers[a.layer], self.layers[b.layer]
        first.calls.setdefault(0, StepCall(first.make, _constants(first.operands)))
        first.calls[at] = StepCall(other.make, _constants(other.operands))
        first.varies, first.is_static = True, False
        for own, of_other in zip(first.operands, other.operands, strict=True):
            self._vary(own, of_other, at)

    def _continues(self, first: Operand, later: Operand, until: float) -> bool:
        """Return whether an operand of the first steps, until one, may be what a later one is
        before the first step."""
        if _identity(first) == _identity(later):
            return True
        if not isinstance(later, Edge) or later.lag <= until:
            return False
        zero = isinstance(first, Const) and first.is_zero
        return zero or self._is_call(first, later, until)

    def _is_call(self, first: Operand, later: Edge, until: float) -> bool:
        """Return whether an operand is what the layer of an edge computes before the first step."""
        called, layer = self._call_of(first), self.layers.get(later.layer)
        if called is None or layer is None:
            return False
        key, operands = called
        return (
            layer.key == key
            and len(operands) == len(layer.operands)
            and all(
                self._continues(a, self._before(b, later.lag), until)
                for a, b in zip(operands, layer.operands, strict=True)
            )
        )

    def _call_of(self, first: Operand) -> tuple[Hashable, tuple[Operand, ...]] | None:
        """Return key and operands of the layer that computed an operand of the first step."""
        if isinstance(first, Const):
            return first.call
        layer = self.layers.get(first.layer)
        constant = layer is not None and any(isinstance(x, Const) for x in layer.operands)
        return (layer.key, tuple(layer.operands)) if constant and layer is not None else None

    def _before(self, operand: Operand, lag: int) -> Operand:
        """Return an operand as it is some steps before; what is the same at every step stays."""
        if isinstance(operand, Const) or self.is_static(operand.layer):
            return operand
        return operand._replace(lag=operand.lag + lag)

    def _weighs(self, first: Operand, later: Operand) -> bool:
        """Return whether an operand is computed of the zeros of others by more than elementwise
        functions."""
        called = self._call_of(first)
        if called is None or not isinstance(later, Edge) or later.layer not in self.layers:
            return False
        layer = self.layers[later.layer]
        pairs = zip(called[1], layer.operands, strict=False)
        return layer.elementwise is None or any(self._weighs(a, b) for a, b in pairs)

    def is_static(self, layer: str) -> bool:
        """Return whether a layer depends on an image alone."""
        if layer == g.INPUT:
            return self.reads_image
        return self.layers[layer].is_static

    def _delayed(self, first: Operand, later: Operand) -> Operand:
        """Return the operand of every step: of a layer of values of the step before, that layer
        again, so that 0 is what is delayed."""
        if _identity(first) == _identity(later) or not isinstance(later, Edge):
            return later
        zero = not isinstance(first, Const) or first.is_zero
        if zero and not self._weighs(first, later):
            return later
        if not self._is_call(first, later, -1):
            return later if zero else later._replace(start=first)
        layer, called = self.layers[later.layer], self._call_of(first)
        assert called is not None
        operands = [
            self._delayed(a, self._before(b, later.lag))
            for a, b in zip(called[1], layer.operands, strict=True)
        ]
        known = (layer.key, "delayed", *map(_identity, operands))
        if known not in self.known:
            name = self.names.of(layer.where, layer.kind)
            self.names.reserve(name)
            copied = {**vars(layer), "name": name, "operands": operands}
            self.layers[name] = FoldedLayer(**copied)
            self.known[known] = name
        return Edge(self.known[known], 0)


def _constants(operands: list[Operand]) -> tuple[Const | None, ...]:
    return tuple(operand if isinstance(operand, Const) else None for operand in operands)


def _commutes(key: Hashable) -> bool:
    """Return whether a layer computes the same with its operands in the other order."""
    return isinstance(key, tuple) and key[:2] in (("aten.add.Tensor", ()), ("aten.mul.Tensor", ()))


def _operand(x: Signal | Const, step: Step) -> Operand:
    if isinstance(x, Const):
        return x
    lag = step - x.step if isinstance(step, int) and isinstance(x.step, int) else 0
    return Edge(x.layer, lag)


def _identity(operand: Operand) -> Hashable:
    return operand.key if isinstance(operand, Const) else operand[:2]


def _starts(first: Operand, later: Operand, until: float) -> bool:
    """Return whether a constant may be the value of a layer before the first step."""
    return isinstance(first, Const) and isinstance(later, Edge) and later.lag > until
