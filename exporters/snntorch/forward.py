"""The forward of a torch module as nodes of the graph, and what the module takes and returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.utils._pytree as pytree
from torch import Tensor, fx, nn

from ...core.errors import ConfigError
from ..graph import ir as g
from ..graph.answer import Answer
from ..verification.neurons import LoweredNeuron
from .capture import ONE_STEP, UntracedError, capture
from .kinds import declared_steps, lowers_itself
from .lowering import Lowering
from .recurrence import nodes_of_layers
from .values import ALL, Axes, Path, Reduced, Signal, State

OVER_TIME = (
    "call layers of [B, ...] with x.flatten(0, 1), and continue with y.unflatten(0, (T, -1)); or "
    + ONE_STEP
)
BATCH = 3
SOME, MANY = (5, 7), 1031  # steps of inputs for networks that may choose their number themselves


@dataclass(frozen=True)
class TracedForward:
    """A forward, lowered to nodes.

    Attributes:
        nodes: of one step, in order.
        output: the node with the output of a step.
        leaf: number of the output among the `leaves` of what the forward returns.
        kinds: of states that are leaves.
        runs_all: whether a call runs all steps; otherwise it runs one.
        own_steps: the number of steps that the forward has chosen; None if it is not fixed.
        axes: of the input; with `T` the forward takes all steps, else one image for all of them.
        output_axes: of the output.
        starts_from_rest: whether each call of the forward starts from rest.
        states: for each argument that is a state, or part of one, the neuron, and the number of
            the leaf that is the new one; None if the forward does not return it.
        unused: required arguments that no neuron reads.
        neurons: paths of the neurons that are called once a step.
        answer: of a readout of asnn.
        parts: neurons that lowered themselves, by the name of their last node.
        reduced: how the forward reduces all steps to the output, and by which factor; None if it
            returns each.
    """

    nodes: list[g.Node]
    output: str
    leaf: int
    kinds: tuple[type, ...]
    runs_all: bool
    own_steps: int | None
    axes: Axes
    output_axes: Axes
    starts_from_rest: bool
    states: dict[Path, tuple[str, int | None]]
    unused: list[str]
    neurons: list[str]
    answer: Answer | None
    parts: dict[str, LoweredNeuron]
    reduced: tuple[Literal["mean", "last"], float] | None

    @property
    def by_step(self) -> bool:
        """Whether the forward takes all steps."""
        return "T" in self.axes

    def arranged(self, code: Tensor) -> Tensor:
        """Return a code `[T, B, ...]` as the forward takes it, of an image one of its equal
        steps."""
        if not self.by_step:
            return code[0]
        own: Axes = ("T", "B", *range(code.ndim - 2))
        return code.permute([own.index(axis) for axis in self.axes]).contiguous()

    def arguments(self, states: dict[Path, Any]) -> dict[str, Any]:
        """Return the arguments behind the input, given the states in them."""
        found: dict[str, Any] = dict.fromkeys(self.unused)
        for (name, *indices), value in states.items():
            found[name] = _with(found.get(name), indices, value)
        return found

    def leaves(self, returned: Any) -> list[Any]:
        """Return the leaves of what the forward returns."""
        return pytree.tree_leaves(returned, is_leaf=lambda x: isinstance(x, self.kinds))

    def output_of(self, leaves: list[Any]) -> Tensor:
        """Return the output among the leaves: `[T, B, K]`, or `[B, K]` of one step or of all."""
        own: Axes = tuple(axis for axis in ("T", "B", 0) if axis in self.output_axes)
        found: Tensor = leaves[self.leaf]
        kept = [d for d, axis in enumerate(self.output_axes) if axis in own]
        order = sorted(kept, key=lambda d: own.index(self.output_axes[d]))
        others = [d for d in range(found.ndim) if d not in kept]
        return found.permute([*order, *others]).flatten(len(own) - 1)


def _with(container: Any, indices: list[Any], value: Any) -> Any:
    """Return nested lists or dicts with a value at a path of indices."""
    if not indices:
        return value
    first, *rest = indices
    if isinstance(first, int):
        found = list(container or [])
        found += [None] * (first + 1 - len(found))
    else:
        found = dict(container or {})  # type: ignore[assignment]
        found.setdefault(first, None)  # type: ignore[attr-defined]
    found[first] = _with(found[first], rest, value)
    return found


@dataclass
class _Attempt(Exception):
    """A layout of the input that does not fit, and how far its lowering came."""

    reached: int
    error: ConfigError


def trace_module(module: nn.Module, in_shape: g.Shape, steps: int | None) -> TracedForward:
    """Return one step of a module as nodes.

    The input may be an image, `[B, ...]`, or all steps: `[T, B, ...]`, `[B, T, ...]` or
    `[B, ..., T]`. They are tried in this order; the error is of the try that came furthest.

    Args:
        module: in evaluation mode.
        in_shape: of one image.
        steps: T; None if unknown.

    Raises:
        ConfigError: its forward cannot be traced, or the graph has no node for a layer.
    """
    declared = declared_steps(module)
    number = steps or (min(declared) if len(declared) == 1 else None)
    sample: Axes = tuple(range(len(in_shape)))
    layouts: list[Axes] = [("B", *sample), ("T", "B", *sample), ("B", "T", *sample)]
    layouts.append(("B", *sample, "T"))
    # Parts of asnn take all steps more often than one.
    first = 1 if any(lowers_itself(part) for part in module.modules()) else 0
    failed: list[_Attempt] = []
    for axes in layouts:
        try:
            return _with_steps(module, in_shape, axes, steps, number)
        except _Attempt as attempt:
            failed.append(attempt)
    if steps is None and len(declared) > 1:
        raise missing_steps(declared)
    furthest = max(failed, key=lambda each: (each.reached, each is failed[first]))
    raise furthest.error


def missing_steps(declared: set[int]) -> ConfigError:
    """Return the error for a network whose number of steps is unknown.

    Args:
        declared: for how many steps its layers have parameters.
    """
    numbers = " and ".join(map(str, sorted(declared)))
    return ConfigError(
        "the number of time steps is missing",
        why=f"its layers have parameters for {numbers} steps"
        if declared
        else "the forward makes one step",
        remedy="give --steps",
    )


def _with_steps(
    module: nn.Module, in_shape: g.Shape, axes: Axes, steps: int | None, number: int | None
) -> TracedForward:
    """Return the forward on an input of a layout; its steps are tried if they are not known."""
    if "T" not in axes:
        return _attempted(module, in_shape, axes, number or 2, steps)
    tried: list[TracedForward] = []
    for size in [number] if number else SOME:
        try:
            found = _attempted(module, in_shape, axes, size, steps)
        except _Attempt as attempt:
            if attempt.reached:
                raise
            # A loop of its own may need more steps than the input has.
            found = _attempted(module, in_shape, axes, MANY, steps)
        if number or not found.runs_all or found.own_steps != size:
            return found
        tried.append(found)
    raise _Attempt(
        len(tried[0].nodes),
        ConfigError(
            "the number of time steps is missing",
            why="the forward makes as many as its input has",
            remedy="give --steps",
        ),
    )


def _attempted(
    module: nn.Module, in_shape: g.Shape, axes: Axes, size: int, steps: int | None
) -> TracedForward:
    """Return the forward on an input of `size` steps.

    Raises:
        _Attempt: it is refused.
    """
    batch = BATCH if size != BATCH else BATCH + 2
    sizes = {"T": max(size, 2), "B": batch}
    shape = [in_shape[axis] if isinstance(axis, int) else sizes[axis] for axis in axes]  # type: ignore[index]
    generator = torch.Generator().manual_seed(0)
    reached = 0
    try:
        remedy = OVER_TIME if "T" in axes else ONE_STEP
        found = capture(module, torch.rand(*shape, generator=generator), remedy)
        reached = 1
        known = max([*declared_steps(module), found.step_calls, steps or 1, size])
        lowering = Lowering(found, in_shape, axes, sizes["T"], batch, known)
        for node in found.graph.nodes:
            if node.op == "output":
                returned = list(fx.map_arg(node.args[0], lowering.values.__getitem__))
                return _finished(lowering, returned)
            lowering.lower(node)
            reached = 1 + len(lowering.folding.layers)
    except ConfigError as error:
        reached = max(reached, isinstance(error, UntracedError))
        raise _Attempt(reached, error) from error
    raise AssertionError("a captured forward returns")


def _finished(lowering: Lowering, tensors: list[Any]) -> TracedForward:
    """Return the lowered forward, given the values of the tensors that it returns."""
    values = iter(tensors)
    captured = lowering.captured
    kinds = _kinds(lowering)
    every = [next(values) if isinstance(leaf, Tensor) else None for leaf in captured.returned]
    # A state of several values is one leaf, of which the first value is followed.
    numbers = pytree.tree_unflatten(list(range(len(every))), captured.spec)
    grouped = pytree.tree_leaves(numbers, is_leaf=lambda x: isinstance(x, kinds))
    leaves = [every[pytree.tree_leaves(each)[0]] for each in grouped]
    calls = set(lowering.calls.values())
    made = max(calls | lowering.fixed, default=lowering.steps if "T" in lowering.axes else 1)
    leaf, value = _output_of(lowering, leaves, made)
    signal = value.signal if isinstance(value, Reduced) else value
    runs_all = signal.step == ALL or isinstance(value, Reduced)
    if not runs_all and calls != {1}:
        raise ConfigError(
            "the forward makes several time steps and does not return all of them",
            why="the output of an export is the mean over the steps",
            remedy=f"return torch.stack of the last layer's spikes, or {ONE_STEP}",
        )
    fixed = calls | lowering.fixed if runs_all else calls
    if len(fixed) > 1:
        raise ConfigError(
            f"the forward does not call every neuron once in each of its {max(fixed)} steps",
            remedy=ONE_STEP,
        )
    folding = lowering.folding
    if folding.reads_steps and (folding.reads_image or not runs_all):
        raise ConfigError(
            "the forward selects steps or samples of its input",
            why="the input of a network is an image, `[B, ...]`, or all steps, `[T, B, ...]`",
            remedy=ONE_STEP,
        )
    states = _new_states(lowering, leaves, made, runs_all)
    nodes, output = nodes_of_layers(folding, signal.layer)
    return TracedForward(
        nodes=nodes,
        output=output,
        leaf=leaf,
        kinds=kinds,
        runs_all=runs_all,
        own_steps=max(fixed, default=None) if runs_all else None,
        axes=lowering.axes,
        output_axes=signal.axes,
        starts_from_rest=lowering.resets,
        states=states,
        unused=captured.unread,
        neurons=list(lowering.calls),
        answer=lowering.answer,
        parts=lowering.parts,
        reduced=(value.kind, value.factor) if isinstance(value, Reduced) else None,
    )


def _kinds(lowering: Lowering) -> tuple[type, ...]:
    """Return the classes of states of several values that are arguments."""
    found = set()
    for state in lowering.states.values():
        where = lowering.folding.layers[state.neuron].where
        call = next(call for call in lowering.captured.calls if call.where == where)
        returned = pytree.tree_unflatten(call.returned, call.spec)
        if isinstance(returned, tuple) and not isinstance(returned[1], Tensor):
            found.add(type(returned[1]))
    return tuple(found)


def _new_states(
    lowering: Lowering, leaves: list[Any], calls: int, runs_all: bool
) -> dict[Path, tuple[str, int | None]]:
    """Return neuron and leaf of the new value of each state that is an argument."""
    found: dict[Path, tuple[str, int | None]] = {}
    for path, state in lowering.states.items():
        wanted: Any = State(state.neuron, state.index, calls - 1, state.axes)
        if state.index == 0:
            wanted = Signal(state.neuron, calls - 1, state.axes)
        places = [i for i, leaf in enumerate(leaves) if leaf == wanted]
        where = lowering.folding.layers[state.neuron].where
        if not places and not runs_all:
            raise ConfigError(
                f"the forward takes {path[0]!r} and does not return it",
                why=f"it is the membrane of {where!r}, which the next step needs",
                remedy="return it, or use init_hidden=True",
            )
        found[path] = (where, places[0] if places else None)
    return found


def _output_of(lowering: Lowering, leaves: list[Any], calls: int) -> tuple[int, Signal | Reduced]:
    """Return leaf and value of the output.

    Of several signals, the output is the one that depends on all others. Membranes are outputs if
    nothing else is; of all steps, or of the last.
    """
    signals = _signals(lowering, leaves, calls)
    if not signals:
        states = {i: leaf for i, leaf in enumerate(leaves) if isinstance(leaf, State)}
        several = len({state.neuron for state in states.values()}) > 1
        if states and not several:
            last = max(states, key=lambda i: states[i].index)
            signals = _signals(lowering, {last: lowering.signal(states[last])}, calls)
    folding = lowering.folding
    before = {name: _ancestors(lowering, name) for name in signals}
    last = [n for n in signals if not any(n in before[m] for m in signals if m != n)]
    if len(last) != 1:
        raise ConfigError(
            f"the forward returns {'no output' if not last else 'several outputs'}",
            why=f"found: {', '.join(folding.layers[name].where for name in last)}"
            if last
            else "it returns no value of a layer",
            remedy="return one of them, or both in one tensor: torch.cat([a, b], -1)"
            if last
            else "return the spikes of the last neuron, or a linear layer after them",
        )
    return signals[last[0]]


def _signals(
    lowering: Lowering, leaves: Any, calls: int
) -> dict[str, tuple[int, Signal | Reduced]]:
    """Return the values among leaves that may be the output, by layer."""
    found: dict[str, tuple[int, Signal | Reduced]] = {}
    for i, value in leaves.items() if isinstance(leaves, dict) else enumerate(leaves):
        signal = value.signal if isinstance(value, Reduced) else value
        if not isinstance(signal, Signal) or signal.layer == g.INPUT:
            continue
        if any(axis in ("TB", "BT") for axis in signal.axes):
            continue
        if calls > 1 and signal.step == calls - 1:  # the last of the steps
            value = Reduced(signal, "last")
        known = found.get(signal.layer)
        if known is None or signal.step == ALL:
            found[signal.layer] = i, value
    return found


def _ancestors(lowering: Lowering, name: str) -> set[str]:
    layers = lowering.folding.layers
    found: set[str] = set()
    waiting = [name]
    while waiting:
        layer = layers.get(waiting.pop())
        if layer is not None and layer.name not in found:
            found.add(layer.name)
            waiting += [edge.layer for edge in layer.edges]
    return found
