"""Lowers a traced forward to nodes of the graph: one time step of it, which is the same at all.

A forward runs one step, all steps in a loop of its own, or all steps at once, `[T, B, ...]`. The
trace unrolls a loop, and all its steps must be equal: a call of the same layer on the same input is
the same node, so the later steps map to the nodes of the first.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg
from torch.nn.modules.dropout import _DropoutNd

from ...core.errors import ConfigError
from ..graph import ir as g
from ..graph.answer import Answer
from ..graph.lowering import lower_part
from ..verification.neurons import LoweredNeuron
from . import functions
from .kinds import is_snntorch, lowers_itself, state_at_rest
from .layers import layer_of
from .names import Names
from .neurons import neuron_of
from .refusal import refusal
from .tracing import ONE_STEP
from .values import (
    ALL,
    REST,
    Membrane,
    NeuronOutput,
    Signal,
    Stack,
    State,
    leaves,
)

OVER_TIME = "call it with x.flatten(0, 1), and continue with y.unflatten(0, (T, -1))"
BY_TIME = (
    "give it all steps, [T, B, ...], after a convolution y = conv(x.flatten(0, 1)).unflatten(0, "
    "(T, -1)); or one step with its membrane: spk, mem = neuron(x, mem)"
)
Step = Any  # of a signal: a number, `all` or None


@dataclass
class FxLowering:
    """Lowers the nodes of a trace one after another.

    Attributes:
        steps: for how many steps parts lower themselves; T or more.
        by_time: whether the input is all steps.
        resets: whether the forward resets membranes in each call.
        values: of the nodes of the trace, as `values` defines them.
        nodes, shapes: of the graph so far, for one step.
        known: names of nodes by layer and inputs.
        sources: of each neuron that is called once a step, the node that it reads.
        calls: number of calls of each.
        fixed: numbers of steps that the forward has chosen.
        states: neurons of the membranes that are arguments.
        unused: required arguments that the forward does not read.
        reads_image, reads_steps: whether layers read the input itself, or steps of it.
        answer: of a readout of asnn.
        parts: neurons that lowered themselves, by the name of their last node.
    """

    root: nn.Module
    in_shape: g.Shape
    steps: int
    by_time: bool = False
    resets: bool = False
    values: dict[fx.Node, Any] = field(default_factory=dict)
    nodes: dict[str, g.Node] = field(default_factory=dict)
    shapes: dict[str, g.Shape] = field(default_factory=dict)
    known: dict[Any, str] = field(default_factory=dict)
    names: Names = field(default_factory=Names)
    sources: dict[str, str] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    fixed: set[int] = field(default_factory=set)
    states: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    reads_image: bool = False
    reads_steps: bool = False
    answer: Answer | None = None
    parts: dict[str, LoweredNeuron] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shapes[g.INPUT] = self.in_shape

    @property
    def image(self) -> Signal:
        """The input of the network."""
        return Signal(g.INPUT, ALL if self.by_time else None)

    def lower(self, node: fx.Node) -> None:
        """Compute the value of a node of the trace."""
        args, kwargs = map_arg((node.args, dict(node.kwargs)), self.values.__getitem__)
        target: Any = node.target
        if target in (operator.iadd, "add_"):
            changed = node.args[0]
            if isinstance(changed, fx.Node) and len(changed.users) > 1:
                raise ConfigError(
                    "+= in the forward cannot be exported here",
                    why="the value that it changes in place is used elsewhere too",
                    remedy="write x = x + y",
                )
        if node.op == "placeholder":
            value: Any = State(target) if self.values else self.image
            if not (node.users or node.args or target.startswith("*")):
                self.unused.append(target)
        elif node.op == "get_attr":
            value = self.attribute(target)
        elif node.op == "call_module":
            value = self.module(target, self.root.get_submodule(target), args, kwargs)
        else:
            value = functions.call(self, target, args, kwargs)
        self.values[node] = value

    def attribute(self, target: str) -> Any:
        owner, _, name = target.rpartition(".")
        tensor = getattr(self.root.get_submodule(owner), name)
        if isinstance(tensor, Tensor) and not tensor.any():
            return REST
        return tensor

    def module(self, where: str, layer: nn.Module, args: Any, kwargs: Any) -> Any:
        """Lower a call of a layer."""
        x, *given = (*args, *kwargs.values())
        own = lowers_itself(layer)
        if is_snntorch(layer) or (own and any(value is not None for value in given)):
            return self.neuron(where, layer, x, given)
        x = self.only_signal(where, layer, [x] if own else [x, *given])
        if own:
            return self.part(where, layer, x)
        if isinstance(layer, nn.Flatten) and x.step == ALL:
            return functions.flatten(self, x, layer.start_dim, layer.end_dim)
        if isinstance(layer, nn.Unflatten):
            return functions.unflatten(self, x, layer.dim, layer.unflattened_size)
        return self.layer(where, layer, x)

    def layer(self, where: str, layer: nn.Module, x: Signal, key: Any = None) -> Signal:
        """Lower a layer of one signal; layers with the same key are the same layer."""
        any_axes = isinstance(layer, nn.Linear | nn.Identity | _DropoutNd)
        if x.step == ALL and not x.merged and not any_axes:
            why = "it takes [B, ...], and its input has all steps, [T, B, ...]"
            raise refusal(where, layer, why, OVER_TIME)

        def make(name: str) -> g.Node | None:
            return layer_of(name, where, x.name, layer, self.shapes[x.name])

        return self.add(where, layer, key or where, [x], make)

    def part(self, where: str, part: nn.Module, x: Signal) -> Signal:
        """Lower a call of a part that lowers itself, on all steps."""
        if x.step != ALL or x.merged:
            form = "[T·B, ...]" if x.merged else "of one step, [B, ...]"
            raise refusal(where, part, f"it takes [T, B, ...], and its input is {form}", BY_TIME)
        self.step_of(where, [x])
        identity = (where, x.name)
        if identity not in self.known:
            self.known[identity] = self.lowered_part(where, part, x.name, part)
        return Signal(self.known[identity], ALL)

    def lowered_part(
        self, where: str, part: nn.Module, source: str, run: Callable[[Tensor], Tensor]
    ) -> str:
        """Add the nodes of a part that lowers itself, and return its last node.

        Args:
            where: its path.
            part: the part.
            source: the node that it reads.
            run: computes all its steps from rest.
        """
        name = self.names.of(where, part)
        own = getattr(part, "steps", None)
        steps = own if isinstance(own, int) else self.steps
        lowered = lower_part(part, where, name, source, steps)
        for node in lowered.nodes:
            self.names.reserve(node.name)
            self.put(node)
        if lowered.nodes:
            self.parts[name] = LoweredNeuron(lowered.nodes[0].name, part, run)
        if lowered.answer is not None:
            self.answer = lowered.answer
        return lowered.output

    def add(
        self,
        where: str,
        layer: object,
        key: Any,
        inputs: list[Signal],
        make: Callable[[str], g.Node | None],
    ) -> Signal:
        """Add a node, unless an earlier step has added it."""
        step = self.step_of(where, inputs)
        identity = (key, *(x.name for x in inputs))
        if identity not in self.known:
            name = self.names.of(where, layer)
            node = make(name)
            self.known[identity] = inputs[0].name if node is None else name
            if node is not None:
                self.names.reserve(name)
                self.put(node)
        return Signal(self.known[identity], step, inputs[0].merged)

    def put(self, node: g.Node) -> None:
        self.nodes[node.name] = node
        self.shapes = g.Graph(tuple(self.nodes.values()), self.in_shape, 1).shapes

    def step_of(self, where: str, inputs: list[Signal]) -> Step:
        self.reads_image |= Signal(g.INPUT, None) in inputs
        steps = {x.step for x in inputs} - {None}
        if len(steps) > 1 or len({x.merged for x in inputs}) > 1:
            raise ConfigError(
                f"{where!r} reads values of two time steps",
                why="layers read values of the same step; only membranes last",
                remedy=ONE_STEP,
            )
        return steps.pop() if steps else None

    def neuron(
        self, where: str, neuron: nn.Module, x: Any, given: list[Any]
    ) -> Signal | NeuronOutput:
        """Lower a call of a neuron on one step."""
        step = self.calls[where]
        self.calls[where] += 1
        x = self.only_signal(where, neuron, [x])
        if x.step == ALL:
            why = "it makes one step in a call, and its input has all steps, [T, B, ...]"
            raise refusal(where, neuron, why, "loop over the steps: spk, mem = neuron(x[t], mem)")
        name = self.known.get(("neuron", where))
        if name is None:
            name = self.lowered_neuron(where, neuron, x.name, given[0] if given else None)
            self.known["neuron", where] = name
            self.sources[where] = x.name
        if self.step_of(where, [x]) not in (None, step) or self.sources[where] != x.name:
            raise refusal(
                where,
                neuron,
                f"its call number {step + 1} does not repeat the first one a step later",
                "give every neuron its own layer, called once in a time step",
            )
        self.check_state(where, neuron, step, given)
        spikes = Signal(name, step)
        if is_snntorch(neuron) and neuron.init_hidden and not neuron.output:
            return spikes
        return NeuronOutput(spikes, Membrane(where, step))

    def lowered_neuron(self, where: str, neuron: nn.Module, source: str, start: Any) -> str:
        """Add the nodes of a neuron, and return the last; `start` is its state at the beginning."""
        if not is_snntorch(neuron):
            return self.lowered_part(where, neuron, source, partial(_over_steps, neuron, start))
        name = self.names.of(where, neuron)
        self.names.reserve(name)
        self.put(neuron_of(name, where, source, neuron, self.shapes[source]))
        return name

    def check_state(self, where: str, neuron: nn.Module, step: int, given: list[Any]) -> None:
        state = given[0] if given else None
        if any(value is not None for value in given[1:]):
            why = "it is called with more than its input and membrane"
            raise refusal(where, neuron, why, "call it as spk, mem = neuron(x, mem)")
        if state is None:
            return
        if is_snntorch(neuron) and neuron.init_hidden:
            why = "with init_hidden=True it takes no membrane"
            raise refusal(where, neuron, why, "call it with its input alone")
        at_rest = state is REST or (not is_snntorch(neuron) and not _is_traced(state))
        if at_rest and step == 0:
            self.resets = True
        elif isinstance(state, State) and step == 0:
            self.states[state.name] = where
        elif state != Membrane(where, step - 1):
            why = "its membrane argument is not the membrane that it returned last"
            raise refusal(where, neuron, why, "pass on the membrane that it returned")

    def only_signal(self, where: str, layer: nn.Module, given: list[Any]) -> Signal:
        if len(given) == 1 and isinstance(given[0], Signal):
            return given[0]
        if len(given) == 1 and isinstance(given[0], NeuronOutput):
            why = "its input is spikes and membrane together"
            remedy = (
                "create the neuron before it with init_hidden=True, or pass on the spikes alone"
            )
        else:
            why, remedy = "its input is not the value of one layer", ONE_STEP
        raise refusal(where, layer, why, remedy)

    def ancestors(self, name: str) -> set[str]:
        found: set[str] = set()
        waiting = [name]
        while waiting:
            node = self.nodes.get(waiting.pop())
            if node is not None and node.name not in found:
                found.add(node.name)
                waiting += node.inputs
        return found

    def used(self, output: str) -> list[g.Node]:
        wanted = self.ancestors(output)
        return [node for name, node in self.nodes.items() if name in wanted]


def _over_steps(neuron: nn.Module, start: Any, x: Tensor) -> Tensor:
    """Return the spikes of a neuron that is called once a step, `[T, B, ...]`."""
    state = torch.zeros_like(x[0]) if start is REST else start
    if state is None or _is_traced(state):
        state = state_at_rest(neuron)
    spikes = []
    for x_t in x:
        spk, state = neuron(x_t, state)
        spikes.append(spk)
    return torch.stack(spikes)


def _is_traced(value: Any) -> bool:
    """Return whether a value, or a part of it, comes from the trace."""
    kinds = Signal | Membrane | NeuronOutput | State | Stack
    return any(isinstance(part, kinds) for _, part in leaves(value))
