"""Lowering of layers to nodes of the export graph, with norms folded and schedules as arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...core.errors import ConfigError
from ...core.registry import unknown
from ...kernels.rules import RESETS
from ...models.expanded import expanded
from ...models.layer import Layer, answers
from ...models.layers.convolution import AFFINE
from ...models.network import SpikingNetwork
from . import ir as g
from .amplitudes import SUFFIX
from .answer import Answer
from .arrays import (
    array_of,
    as_field,
    f32,
    geometry_of,
    norms_of,
    pool_of,
    refusal,
    scale_of,
    weights_of,
)
from .equations import traced

NO_EQUATION = (
    "give the neuron a method lower(graph, name) that says its equations, such as "
    "graph.cell(name, self.step, states=['v']): see 'A neuron' in CONTRIBUTING.md"
)
REMEDY_FOR_NOISE = (
    "export it with --noise input: the random numbers are inputs of an ONNX file; or with "
    "--noise off: the same network without noise (of a module of your own, call the neuron's "
    "stop_drawing())"
)


class LoweredPart(NamedTuple):
    """The nodes of a part of a network.

    Attributes:
        nodes: in order.
        output: the node with its value.
        answer: of a readout; None if the part is none.
    """

    nodes: list[g.Node]
    output: str
    answer: Answer | None


def lower_part(part: nn.Module, path: str, name: str, source: str, steps: int) -> LoweredPart:
    """Return the nodes of a module `[T, B, ...] -> [T, B, ...]` that lowers itself.

    Args:
        part: a layer with `lower`, or a neuron with `lower` or `neuron_fields`.
        path: of the part, in errors.
        name: of its last node.
        source: the node that it reads.
        steps: T.

    Raises:
        ConfigError: the graph cannot express it.
    """
    with torch.no_grad():
        lowering = Lowering(steps, source)
        if isinstance(part, Layer):
            lowering.lower(name, part)
        else:
            lowering.neuron(name, part, path)
        output = lowering.at
    return LoweredPart(lowering.nodes, output, lowering.answer if lowering.has_readout else None)


class _Pending(NamedTuple):
    """An affine layer that is not added yet, since a norm may follow and be folded into it.

    Attributes:
        name: of the layer.
        layers: the module of each step.
    """

    name: str
    layers: list[nn.Module]


class Lowering:
    """Lowers a body, layer by layer: each adds its own nodes (`asnn.models.layer.Lowering`).

    Attributes:
        steps: T, or of the next layer the number of windows of an accumulator before it.
        noise: whether what is drawn reads uniform numbers, as inputs of the graph; else layers
            that draw are refused.
        nodes: of the graph so far.
        answer: of the readout.
        has_readout: whether there is one.
        neurons: each with the first of its nodes, by the name of the last.
    """

    def __init__(self, steps: int, source: str = g.INPUT, *, noise: bool = False) -> None:
        self.steps = steps
        self.noise = noise
        self.nodes: list[g.Node] = []
        self.answer = Answer()
        self.has_readout = False
        self.neurons: dict[str, tuple[str, nn.Module]] = {}
        self._at = source
        self._pending: _Pending | None = None

    @property
    def at(self) -> str:
        """The node that the next layer reads."""
        self._flush()
        return self._at

    @property
    def axes(self) -> int:
        """The axes of one sample that the next layer reads: 3 of an image, 1 of features."""
        name, known = self.at, {node.name: node for node in self.nodes}
        while name in known:
            match known[name]:
                case g.Conv() | g.ConvTranspose() | g.Pool() | g.Attention():
                    return 3
                case g.Linear() | g.Flatten() | g.Lstm():
                    return 1
            name = known[name].inputs[0]
        return 3

    def nodes_of(self, model: SpikingNetwork) -> list[g.Node]:
        """Return the nodes of a network."""
        if not isinstance(model.body, nn.Sequential):
            raise refusal("body", model.body, "it is not a sequence of layers")
        self._lower_all("", expanded(model.body))  # type: ignore[arg-type]
        self._flush()
        if not self.has_readout:
            raise ConfigError(
                "the network does not end with a readout", why="its output are the logits"
            )
        return self.nodes

    def lower(self, name: str, part: nn.Module) -> None:
        """Add a part of the body, a module from `[T, B, ...]` to `[T, B, ...]`."""
        if answers(part, "lower"):
            return part.lower(self, name)  # type: ignore[operator]
        match part:
            case nn.Sequential() if type(part).forward is nn.Sequential.forward:
                return self._lower_all(f"{name}.", part)
            case nn.Flatten(start_dim=2, end_dim=-1):
                return self.add("Flatten", name)
            case nn.Identity() | nn.Dropout():
                return None  # the identity in evaluation mode
        raise refusal(name, part, "the graph has no node for it, and it has no method `lower`")

    def branch(self, prefix: str, parts: nn.Sequential, begin: str) -> str:
        """Add a path that reads the node `begin`, and return its last node."""
        self._flush()
        self._at = begin
        self._lower_all(prefix, parts)
        return self.at

    def per_step(self, name: str, layers: list[nn.Module]) -> None:
        """Add a stateless layer, given as the module of each step."""
        first = layers[0]
        if any(type(layer) is not type(first) for layer in layers):
            raise refusal(name, first, "its steps have layers of different kinds")
        if answers(first, "lower") and all(layer is first for layer in layers):
            return first.lower(self, name)  # type: ignore[operator]
        if type(first).forward is nn.Sequential.forward:
            return self._per_step_all(name, layers)
        if isinstance(first, nn.Flatten) and first.start_dim == 1 and first.end_dim == -1:
            return self.add("Flatten", name)
        if isinstance(first, nn.MaxPool2d | nn.AvgPool2d):
            return self.add("Pool", name, **pool_of(name, first))
        if isinstance(first, nn.ReLU):
            return self.add("Relu", name)
        if isinstance(first, nn.Identity | nn.Dropout):
            return None  # the identity in evaluation mode
        if type(first) in AFFINE:
            self._flush()
            self._pending = _Pending(name, layers)
            return None
        raise refusal(name, first, "the graph has no such layer")

    def norm(self, path: str, name: str, norm: nn.Module) -> None:
        """Fold a norm into the pending layer; without one, add it as a node of its own."""
        norms = norms_of(path, norm, self.steps)
        if self._pending is not None:
            return self._flush(norms)
        scales = [scale_of(norm) for norm in norms]
        factor, offset = (f32(np.stack(part)) for part in zip(*scales, strict=True))
        return self.add("ChannelScale", name, factor=factor, offset=offset)

    def neuron(self, name: str, neuron: nn.Module, path: str = "") -> None:
        """Add a neuron, by its `lower` or its `neuron_fields`."""
        path = path or f"{name}.neuron"
        self._flush()
        before = len(self.nodes)
        try:
            if answers(neuron, "lower"):
                neuron.lower(self, name)  # type: ignore[operator]
            elif answers(neuron, "neuron_fields"):
                self._leaky(name, dict(neuron.neuron_fields()))  # type: ignore[operator]
            else:
                raise ConfigError("it does not say what it computes", remedy=NO_EQUATION)
        except ConfigError as error:
            why = f"{error.what}: {error.why}" if error.why else error.what
            raise refusal(path, neuron, why, error.remedy) from error
        except Exception as error:  # of a method of the user, or in what it gives
            why = f"its equations cannot be read: {type(error).__name__}: {error}"
            raise refusal(path, neuron, why, NO_EQUATION) from error
        if not any(node.name == name for node in self.nodes[before:]):
            why = f"its method lower adds no node {name!r}"
            raise refusal(path, neuron, why, "give the name to its last node")
        self.neurons[name] = (self.nodes[before].name, neuron)

    def _leaky(self, name: str, fields: dict[str, Any]) -> None:
        """Add a leaky integrate-and-fire neuron of the fields of `neuron_fields`."""
        amplitude = fields.pop("amplitude", None)
        if fields["reset"] not in RESETS:
            raise unknown("reset", fields["reset"], list(RESETS))
        draws = fields.get("kappa") is not None
        self._refuse_draw(draws, "its spikes are drawn at random")
        for key in ("leak", "gain", "threshold", "size", *(["kappa"] * draws)):
            shape = list(np.shape(as_field(fields[key])))
            if len(shape) != 2:
                raise ConfigError(f"its {key} has the shape {shape}, not [T, C] or [T, 1]")
        self.add("Neuron", name, **fields)
        if amplitude is not None:  # the neuron of the graph sends whole numbers
            factor = np.repeat(array_of(amplitude).reshape(1, -1), self.steps, axis=0)
            offset = np.zeros_like(factor)
            self.add("ChannelScale", f"{name}{SUFFIX}", factor=factor, offset=offset)

    def add(
        self, kind: str, name: str, inputs: tuple[str, ...] | None = None, /, **fields: Any
    ) -> None:
        """Add a node that reads `inputs`, by default the node before it."""
        self._flush()
        self._add(kind, name, inputs or (self._at,), fields)

    def cell(
        self,
        name: str,
        step: Callable[..., Any],
        /,
        *,
        states: Sequence[str],
        schedules: Mapping[str, Tensor] | None = None,
        inputs: tuple[str, ...] | None = None,
        recurrent: Tensor | None = None,
        spikes: bool = True,
    ) -> None:
        """Add a neuron by the equations of its step; see `traced`."""
        self._flush()
        kind: type[g.Dynamics] = g.Cell if spikes else g.Dynamics
        own = (name, inputs or (self._at,), step, states, schedules or {}, self.steps)
        self.nodes.append(traced(kind, *own, recurrent=recurrent))
        self._at = name

    def accumulate(self, name: str, steps: int) -> None:
        """Add the sum of each window; the layers after it have a step for each window."""
        self.add("Accumulate", name, length=steps)
        self.steps //= steps

    def answers_with(self, kind: str, **options: Any) -> None:
        """Say how the answer follows from the value of the last node, the outputs of the steps."""
        self.has_readout = True
        self.answer = Answer(kind, **options)  # type: ignore[arg-type]
        self._refuse_draw(self.answer.draws, "the readout draws its answer at random")

    def refused(self, name: str, part: nn.Module, why: str) -> ConfigError:
        """Return the error for a part that cannot be exported."""
        return refusal(name, part, why)

    def _refuse_draw(self, draws: bool, what: str) -> None:
        if draws and not self.noise:
            raise ConfigError(what, why="a file draws nothing by itself", remedy=REMEDY_FOR_NOISE)

    def _add(self, kind: str, name: str, inputs: tuple[str, ...], fields: dict[str, Any]) -> None:
        values = {key: as_field(value) for key, value in fields.items()}
        self.nodes.append(getattr(g, kind)(name=name, inputs=inputs, **values))
        self._at = name

    def _lower_all(self, prefix: str, parts: nn.Sequential) -> None:
        """Add layers one after another."""
        for name, part in parts._modules.items():  # a layer may be in it more than once
            assert part is not None
            self.lower(f"{prefix}{name}", part)

    def _per_step_all(self, name: str, sequences: list[Any]) -> None:
        """Add the layers of a sequence for each step; the last one has the name of the sequence."""
        if len({len(sequence) for sequence in sequences}) > 1:
            raise refusal(name, sequences[0], "its steps have different numbers of layers")
        for i, layers in enumerate(zip(*sequences, strict=True), start=1):
            kind = type(layers[0]).__name__.lower().removeprefix("spike")
            last = i == len(sequences[0])
            self.per_step(name if last else f"{name}.{kind}{i}", list(layers))

    def _flush(self, norms: list[Any] | None = None) -> None:
        """Add the pending affine layer, with the norm of each step folded in."""
        if self._pending is None:
            return
        name, layers = self._pending
        self._pending = None
        sets: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        of_step = []
        for layer, norm in zip(layers, norms or [None] * self.steps, strict=True):
            key = (id(layer), id(norm))
            if key not in sets:
                sets[key] = weights_of(layer, norm)
            of_step.append(list(sets).index(key))
        weights, biases = (tuple(part) for part in zip(*sets.values(), strict=True))
        fields = {"weights": weights, "biases": biases, "of_step": tuple(of_step)}
        first = layers[0]
        kind = "Linear"
        if isinstance(first, nn.Conv2d):
            kind, geometry = "Conv", geometry_of(name, first)
            if any(geometry_of(name, layer) != geometry for layer in layers):  # type: ignore[arg-type]
                raise refusal(name, first, "its windows differ from step to step")
            fields |= geometry
        self._add(kind, name, (self._at,), fields)
