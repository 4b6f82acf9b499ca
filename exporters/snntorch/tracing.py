"""Traces a torch module with snnTorch neurons, and lowers one time step to nodes of the graph.

torch.fx traces the forward with the neurons as leaves. It runs one step, or all steps in a loop of
its own. The trace unrolls such a loop, and all steps must be equal: a call of the same layer on the
same input is the same node, so the later steps map to the nodes of the first.
"""

from __future__ import annotations

import copy
import operator
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from snntorch import SpikingNeuron
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from ...core.errors import AsnnError, ConfigError
from ..graph import ir as g
from . import functions
from .layers import layer_of
from .names import Names
from .neurons import neuron_of
from .refusal import refusal
from .values import REST, Membrane, NeuronOutput, Path, Signal, Stack, State, leaves

ONE_STEP = "give a module whose forward makes one time step"


@dataclass(frozen=True)
class TracedForward:
    """A forward, lowered to nodes.

    Attributes:
        nodes: of one step, in order.
        output: the node with the output of a step.
        path: of the output in the value that the forward returns.
        own_steps: the number of steps of a loop in the forward; None if each call runs one step.
        by_step: whether the forward takes `[T, B, ...]` instead of one image for all steps.
        starts_from_rest: whether each call of the forward starts from rest.
        states: for each argument that is a membrane, its neuron and the path of the new membrane
            in the value that the forward returns.
        unused: required arguments that the forward does not read.
        neurons: paths of the neurons in use.
    """

    nodes: list[g.Node]
    output: str
    path: Path
    own_steps: int | None
    by_step: bool
    starts_from_rest: bool
    states: dict[str, tuple[str, Path]]
    unused: list[str]
    neurons: list[str]


def trace_module(module: nn.Module, in_shape: g.Shape) -> TracedForward:
    """Return one step of a module as nodes.

    Args:
        module: in evaluation mode.
        in_shape: of one image.

    Raises:
        ConfigError: its forward cannot be traced, or the graph has no node for a layer.
    """
    trace = _trace(module)
    lowering = FxLowering(trace.root, in_shape)
    lowering.resets = trace.resets
    for node in trace.graph.nodes:
        if node.op == "output":
            return lowering.finish(map_arg(node.args[0], lowering.values.__getitem__))
        lowering.lower(node)
    raise AssertionError("a traced forward returns")


@dataclass
class _Trace:
    root: nn.Module
    graph: fx.Graph
    resets: bool


class _Tracer(fx.Tracer):
    """Traces with neurons as leaves, and records which were called."""

    def __init__(self) -> None:
        super().__init__()
        self.called: set[int] = set()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        neuron = isinstance(m, SpikingNeuron)
        return neuron or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        self.called.add(id(m))
        return super().call_module(m, forward, args, kwargs)


def _trace(module: nn.Module) -> _Trace:
    """Trace a copy, so that the module does not change."""
    kind = type(module).__name__
    # Membranes of a training have an autograd history, which cannot be copied.
    neurons = [part for part in module.modules() if isinstance(part, SpikingNeuron)]
    memo: dict[int, Any] = {
        id(buffer): torch.zeros(0) for part in neurons for name, buffer in _states(part)
    }
    resets: list[str] = []
    tracer = _Tracer()
    instances = SpikingNeuron.instances
    try:
        root = copy.deepcopy(module, memo).eval()
        copies = [part for part in root.modules() if isinstance(part, SpikingNeuron)]
        rest = {id(part): dict(_states(part)) for part in copies}
        for part in copies:
            part.reset_mem = _recorder(part, tracer, resets)  # type: ignore[assignment]
        SpikingNeuron.instances = copies  # those that snntorch.utils.reset would reset
        graph = tracer.trace(root)
    except AsnnError:
        raise
    except Exception as error:  # of the user's forward
        why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ConfigError(
            f"the forward of {kind} cannot be traced",
            why=why,
            remedy=f"{ONE_STEP}, with no branch or loop that depends on its input",
        ) from error
    finally:
        SpikingNeuron.instances = instances
    touched = any(
        buffer is not rest[id(part)][name] for part in copies for name, buffer in _states(part)
    )
    return _Trace(root, graph, bool(resets) or touched)


def _states(neuron: nn.Module) -> list[tuple[str, Tensor]]:
    """Return the state of a neuron: its buffers that are not persistent."""
    names = neuron._non_persistent_buffers_set
    return [(name, buffer) for name, buffer in neuron.named_buffers() if name in names]


def _recorder(neuron: nn.Module, tracer: _Tracer, resets: list[str]) -> Callable[[], Any]:
    def reset_mem() -> Any:
        if id(neuron) in tracer.called:
            raise ConfigError(
                f"the forward resets a {type(neuron).__name__} after it has been called",
                why="exports start from rest once, in the first step",
                remedy=ONE_STEP,
            )
        resets.append(type(neuron).__name__)
        states = [torch.zeros(0) for _ in _states(neuron)]
        return states[0] if len(states) == 1 else tuple(states)

    return reset_mem


@dataclass
class FxLowering:
    """Lowers the nodes of a trace one after another.

    Attributes:
        resets: whether the forward resets membranes in each call.
        values: of the nodes of the trace, as `values` defines them.
        nodes, shapes: of the graph so far, for one step.
        known: names of nodes by layer and inputs.
        calls: number of calls of each neuron.
        states: neurons of the membranes that are arguments.
        unused: required arguments that the forward does not read.
        reads_image, reads_steps: whether layers read the input itself, or steps of it.
    """

    root: nn.Module
    in_shape: g.Shape
    resets: bool = False
    values: dict[fx.Node, Any] = field(default_factory=dict)
    nodes: dict[str, g.Node] = field(default_factory=dict)
    shapes: dict[str, g.Shape] = field(default_factory=dict)
    known: dict[Any, str] = field(default_factory=dict)
    names: Names = field(default_factory=Names)
    calls: Counter[str] = field(default_factory=Counter)
    states: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    reads_image: bool = False
    reads_steps: bool = False

    def __post_init__(self) -> None:
        self.shapes[g.INPUT] = self.in_shape

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
            value: Any = State(target) if self.values else Signal(g.INPUT, None)
            if not (node.users or node.args or target.startswith("*")):
                self.unused.append(target)
        elif node.op == "get_attr":
            value = self.attribute(target)
        elif node.op == "call_module":
            layer = self.root.get_submodule(target)
            if isinstance(layer, SpikingNeuron):
                value = self.neuron(target, layer, args, kwargs)
            else:
                value = self.module(target, layer, args, kwargs)
        else:
            value = functions.call(self, target, args, kwargs)
        self.values[node] = value

    def attribute(self, target: str) -> Any:
        owner, _, name = target.rpartition(".")
        tensor = getattr(self.root.get_submodule(owner), name)
        if isinstance(tensor, Tensor) and not tensor.any():
            return REST
        return tensor

    def module(self, where: str, layer: nn.Module, args: Any, kwargs: Any) -> Signal:
        """Lower a call of a stateless layer."""
        x = self.only_signal(where, layer, [*args, *kwargs.values()])
        return self.layer(where, layer, x)

    def layer(self, where: str, layer: nn.Module, x: Signal, key: Any = None) -> Signal:
        """Lower a layer of one signal; layers with the same key are the same layer."""

        def make(name: str) -> g.Node | None:
            return layer_of(name, where, x.name, layer, self.shapes[x.name])

        return self.add(where, layer, key or where, [x], make)

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
        return Signal(self.known[identity], step)

    def put(self, node: g.Node) -> None:
        self.nodes[node.name] = node
        self.shapes = g.Graph(tuple(self.nodes.values()), self.in_shape, 1).shapes

    def step_of(self, where: str, inputs: list[Signal]) -> int | None:
        self.reads_image |= Signal(g.INPUT, None) in inputs
        steps = {x.step for x in inputs} - {None}
        if len(steps) > 1:
            raise ConfigError(
                f"{where!r} reads values of two time steps",
                why="layers read values of the same step; only membranes last",
                remedy=ONE_STEP,
            )
        return steps.pop() if steps else None

    def neuron(
        self, where: str, neuron: nn.Module, args: Any, kwargs: Any
    ) -> Signal | NeuronOutput:
        """Lower a call of a neuron, which is one of its steps."""
        step = self.calls[where]
        self.calls[where] += 1
        x, *given = (*args, *kwargs.values())
        x = self.only_signal(where, neuron, [x])
        name = self.known.get(("neuron", where))
        if name is None:
            name = self.names.of(where, neuron)
            self.names.reserve(name)
            self.known["neuron", where] = name
            self.put(neuron_of(name, where, x.name, neuron, self.shapes[x.name]))
        if self.step_of(where, [x]) not in (None, step) or self.nodes[name].inputs != (x.name,):
            raise refusal(
                where,
                neuron,
                f"its call number {step + 1} does not repeat the first one a step later",
                "give every neuron its own layer, called once in a time step",
            )
        self.check_state(where, neuron, step, given)
        spikes = Signal(name, step)
        if neuron.init_hidden and not neuron.output:
            return spikes
        return NeuronOutput(spikes, Membrane(where, step))

    def check_state(self, where: str, neuron: nn.Module, step: int, given: list[Any]) -> None:
        state = given[0] if given else None
        if state is None:
            return
        if neuron.init_hidden:
            why = "with init_hidden=True it takes no membrane"
            raise refusal(where, neuron, why, "call it with its input alone")
        if state is REST and step == 0:
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

    def finish(self, returned: Any) -> TracedForward:
        """Return the lowered forward, given the value that it returns."""
        found = dict(leaves(returned))
        path, output, stacked = self.output_of(found)
        counts = set(self.calls.values())
        if not stacked and counts != {1}:
            raise ConfigError(
                "the forward makes several time steps and does not return all of them",
                why="the output of an export is the mean over the steps",
                remedy=f"return torch.stack of the last layer's spikes, or {ONE_STEP}",
            )
        if len(counts) != 1 or (stacked and counts != {stacked}):
            most = max(*counts, stacked)
            raise ConfigError(
                f"the forward does not call every neuron once in each of its {most} steps",
                remedy=ONE_STEP,
            )
        if self.reads_steps and (self.reads_image or not stacked):
            raise ConfigError(
                "the forward selects steps or samples of its input",
                why="the input of a network is an image, `[B, ...]`, or all steps, `[T, B, ...]`",
                remedy=ONE_STEP,
            )
        states = {}
        for argument, neuron in self.states.items():
            after = Membrane(neuron, max(counts) - 1)
            paths = [path for path, value in found.items() if value == after]
            if not paths and not stacked:
                raise ConfigError(
                    f"the forward takes {argument!r} and does not return it",
                    why=f"it is the membrane of {neuron!r}, which the next step needs",
                    remedy="return it, or use init_hidden=True",
                )
            states[argument] = (neuron, paths[0] if paths else ())
        return TracedForward(
            nodes=self.used(output),
            output=output,
            path=path,
            own_steps=stacked or None,
            by_step=self.reads_steps,
            starts_from_rest=self.resets,
            states=states,
            unused=self.unused,
            neurons=list(self.calls),
        )

    def output_of(self, found: dict[Path, Any]) -> tuple[Path, str, int]:
        """Return path and node of the output, and its number of stacked steps, 0 if not stacked.

        Of several signals, the output is the one that depends on all others.
        """
        signals: dict[str, tuple[Path, int]] = {}
        for path, value in found.items():
            if isinstance(value, Signal) and value.name != g.INPUT:
                signals.setdefault(value.name, (path, 0))
            elif isinstance(value, Stack) and value.name is not None:
                signals.setdefault(value.name, (path, value.steps))
        before = {name: self.ancestors(name) for name in signals}
        last = [n for n in signals if not any(n in before[m] for m in signals if m != n)]
        if len(last) != 1:
            membranes = any(isinstance(value, Membrane | Stack) for value in found.values())
            raise ConfigError(
                f"the forward returns {'no output' if not last else 'several outputs'}",
                why="membranes are not outputs of an export"
                if not last and membranes
                else f"found: {', '.join(last) or 'no value of a layer'}",
                remedy="return the spikes of the last neuron, or a linear layer after them",
            )
        path, steps = signals[last[0]]
        return path, last[0], steps

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
