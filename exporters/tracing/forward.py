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
from .by_hand.clock import steps_of_nodes
from .by_hand.replay import Replay
from .calls import ONE_STEP
from .capture import FailedRunError, UntracedError, capture, steps_made
from .kinds import declared_steps, lowers_itself
from .lowering import Lowering
from .outputs import heads_of, output_of, signal_of
from .recurrence import nodes_of_layers
from .values import ALL, Axes, Axis, Path, Reduced, Signal, State

IMAGE = f"give the shape of a sample, --in-shape, without the batch and the steps; or {ONE_STEP}"
OVER_TIME = (
    "call layers of [B, ...] with x.flatten(0, 1), and continue with y.unflatten(0, (T, -1)); or "
    + IMAGE
)
BATCHES = (3, 5, 4)  # samples of an input; others where the first may be a number of steps
SOME = (5, 7)  # steps of inputs for networks that may choose their number themselves
MORE = (17, 65, 257, 1031, 4099)  # for loops of their own that need more


@dataclass(frozen=True)
class TracedForward:
    """A forward, lowered to nodes.

    Attributes:
        nodes: of one step, in order.
        output: the node with the output of a step.
        outputs: numbers of the outputs among the `leaves` of what the forward returns.
        heads: of several outputs, their names and sizes; they are one output, side by side.
        kinds: of states that are leaves.
        runs_all: whether a call runs all steps; otherwise it runs one.
        own_steps: the number of steps that the forward has chosen; None if it is not fixed.
        axes: of the input; with `T` the forward takes all steps, else one image for all of them.
        output_axes: of the output.
        starts_from_rest: whether each call of the forward starts from rest.
        states: for each argument that is a state, or part of one, the neuron, and the number of
            the leaf that is the new one; None if the forward does not return it.
        unused: required arguments that no neuron reads.
        neurons: for the path of each neuron that is called once a step, the node of its spikes.
        answer: of a readout of asnn.
        parts: neurons that lowered themselves, by the name of their last node.
        replay: of the spikes of neurons written by hand; None where the forward has others too.
        reduced: how the forward reduces all steps to the output, and by which factors; None if it
            returns each.
    """

    nodes: list[g.Node]
    output: str
    outputs: list[int]
    heads: dict[str, int]
    kinds: tuple[type, ...]
    runs_all: bool
    own_steps: int | None
    axes: Axes
    output_axes: Axes
    starts_from_rest: bool
    states: dict[Path, tuple[str, int | None]]
    unused: list[str]
    neurons: dict[str, str]
    answer: Answer | None
    parts: dict[str, LoweredNeuron]
    replay: Replay | None
    reduced: tuple[Literal["mean", "last"], tuple[float, ...]] | None

    @property
    def by_step(self) -> bool:
        """Whether the forward takes all steps."""
        return "T" in self.axes

    def arranged(self, code: Tensor) -> Tensor:
        """Return a code `[T, B, ...]` as the forward takes it, of an image one of its equal
        steps."""
        every: Axes = ("T", "B", *range(code.ndim - 2))
        kept = [d for d, axis in enumerate(every) if axis in self.axes]
        code = code[tuple(slice(None) if d in kept else 0 for d in range(code.ndim))]
        left: list[Axis] = [every[d] for d in kept]
        return code.permute([left.index(axis) for axis in self.axes]).contiguous()

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
        parts, axes = [leaves[leaf] for leaf in self.outputs], self.output_axes
        if 0 not in axes:  # one value
            parts, axes = [part.unsqueeze(-1) for part in parts], (*axes, 0)
        found = torch.cat(parts, axes.index(0))
        own = [axis for axis in ("T", "B") if axis in axes]
        inner = sorted(axis for axis in axes if isinstance(axis, int))
        order = [axes.index(axis) for axis in (*own, *inner)]
        others = [d for d in range(found.ndim) if d not in order]
        return found.permute([*order, *others]).flatten(len(own))


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

    reached: float
    error: ConfigError


def trace_module(module: nn.Module, in_shape: g.Shape, steps: int | None) -> TracedForward:
    """Return one step of a module as nodes.

    The input may be an image, `[B, ...]`, or all steps: `[T, B, ...]`, `[B, T, ...]` or
    `[B, ..., T]`; samples of height 1 with it or without. They are tried in this order; the error
    is of the try that came furthest.

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
    samples = [sample]
    if len(sample) == 3 and in_shape[1] == 1:  # a series, to layers of one axis
        samples.append((0, 2))
    layouts: list[Axes] = []
    for own in samples:
        layouts += [("B", *own), ("T", "B", *own), ("B", "T", *own), ("B", *own, "T")]
    # Parts of asnn take all steps more often than one.
    first = 1 if any(lowers_itself(part) for part in module.modules()) else 0
    failed: list[_Attempt] = []
    once: TracedForward | None = None  # a loop of one step, over an axis of size 1 of an image
    for axes in layouts:
        try:
            found = _with_steps(module, in_shape, axes, steps, number)
            if not (found.runs_all and found.own_steps == 1 and "T" not in axes):
                return found
            once = found
        except _Attempt as attempt:
            failed.append(attempt)
    if once is not None and all(attempt.reached < 1 for attempt in failed):
        return once
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
    size = number or SOME[0]
    try:
        if number is None and all(
            steps_made(module, _example(in_shape, axes, some), OVER_TIME) == some for some in SOME
        ):
            raise _missing_steps()
        found = _attempted(module, in_shape, axes, size, steps)
        if number is None and found.own_steps in (None, size) and not found.neurons:
            found = _attempted(module, in_shape, axes, SOME[1], steps)
            if found.own_steps in (None, SOME[1]):
                raise _missing_steps()
        return found
    except (FailedRunError, _Attempt) as failed:
        error = failed.error if isinstance(failed, _Attempt) else failed
        attempt = _attempt_of(error, 0) if error is failed else failed
        if not _is_too_short(error):
            raise attempt from error
    for more in MORE:  # a loop of its own may need more steps than the input has
        try:
            return _attempted(module, in_shape, axes, more, steps)
        except _Attempt as again:
            if again.reached >= 1:
                raise
            if not _is_too_short(again.error):
                break
    raise attempt


def _missing_steps() -> _Attempt:
    what, why = "the number of time steps is missing", "the forward makes as many as its input has"
    return _Attempt(2, ConfigError(what, why=why, remedy="give --steps"))


def _is_too_short(error: ConfigError) -> bool:
    """Return whether a forward has read a step that its input does not have."""
    cause = error.__cause__
    return isinstance(cause, IndexError) and "out of bounds for dimension" in str(cause)


def _attempt_of(error: ConfigError, reached: float) -> _Attempt:
    """Return how far a forward came that has failed."""
    if isinstance(error, FailedRunError):
        reached = 1 - 1 / (1 + error.attempts)
    return _Attempt(max(reached, isinstance(error, UntracedError)), error)


def _example(in_shape: g.Shape, axes: Axes, steps: int, batch: int = BATCHES[0]) -> Tensor:
    """Return an input of a layout: noise."""
    sizes = {"T": max(steps, 2), "B": batch}
    shape = [in_shape[axis] if isinstance(axis, int) else sizes[axis] for axis in axes]  # type: ignore[index]
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def _attempted(
    module: nn.Module, in_shape: g.Shape, axes: Axes, size: int, steps: int | None
) -> TracedForward:
    """Return the forward on an input of `size` steps.

    Raises:
        _Attempt: it is refused.
    """
    found: TracedForward | None = None
    for batch in BATCHES:
        if batch == size:
            continue
        found = _lowered(module, _example(in_shape, axes, size, batch), in_shape, axes, steps)
        own = found.own_steps
        if "T" in axes and own not in (None, size, batch):
            return _attempted(module, in_shape, axes, own, steps)  # sizes may be numbers in it
        if "T" not in axes or own != batch:
            return _checked(found, steps)
    assert found is not None
    raise _Attempt(
        len(found.nodes),
        ConfigError(
            "the forward makes a step for each sample of the batch",
            why="its loop has the size of another axis than that of the steps",
            remedy="loop over the steps of [T, B, ...], x.size(0), or of [B, T, ...], x.size(1)",
        ),
    )


def _lowered(
    module: nn.Module, example: Tensor, in_shape: g.Shape, axes: Axes, steps: int | None
) -> TracedForward:
    """Return the forward on an input of a layout."""
    sizes = dict(zip(axes, example.shape, strict=True))
    by_step = "T" in sizes
    size = sizes.get("T", steps or 2)
    reached = 0
    try:
        remedy = OVER_TIME if by_step else IMAGE
        found = capture(module, example, by_step=by_step, remedy=remedy)
        reached = 1
        known = max([*declared_steps(module), found.step_calls, steps or 1, size])
        lowering = Lowering(found, in_shape, axes, size, sizes["B"], known)
        if not by_step:
            lowering.follow(steps_of_nodes(found))
        for node in found.graph.nodes:
            if node.op == "output":
                returned = list(fx.map_arg(node.args[0], lowering.values.__getitem__))
                return _finished(lowering, returned)
            lowering.lower(node)
            reached = 1 + len(lowering.folding.layers)
    except ConfigError as error:
        raise _attempt_of(error, reached) from error
    raise AssertionError("a captured forward returns")


def _checked(found: TracedForward, steps: int | None) -> TracedForward:
    """Refuse a forward that makes another number of steps than is asked for.

    Raises:
        _Attempt: it does.
    """
    if steps is not None and found.own_steps not in (None, steps):
        what = f"the forward makes {found.own_steps} steps by itself, not {steps}"
        remedy = f"omit the number of steps, or {ONE_STEP}"
        raise _Attempt(1 + len(found.nodes), ConfigError(what, remedy=remedy))
    return found


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
    by_hand = 1 + max((step for layer in lowering.folding.layers.values() for step in layer.calls),
                      default=lowering.steps - 1 if "T" in lowering.axes else 0)  # fmt: skip
    made = max(calls | lowering.fixed, default=by_hand)
    calls = calls or {made}
    outputs, value = output_of(lowering, leaves, made)
    signal = signal_of(value)
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
    nodes, output, by_hand = nodes_of_layers(folding, signal.layer, made)
    if not (lowering.calls or lowering.parts or any(map(_is_of_neuron, nodes))):
        raise ConfigError(
            f"{type(lowering.root).__name__} has no neuron of snnTorch or asnn, nor one by hand",
            why="nothing in it is a spike, or lasts from step to step",
            remedy="give a network with neurons such as snn.Leaky or asnn.models.AdaptiveLeaky",
        )
    return TracedForward(
        nodes=nodes,
        output=output,
        outputs=outputs,
        heads=heads_of(lowering, signal),
        kinds=kinds,
        runs_all=runs_all,
        own_steps=max(fixed, default=None) if runs_all else None,
        axes=lowering.axes,
        output_axes=signal.axes,
        starts_from_rest=lowering.resets,
        states=states,
        unused=captured.unread,
        neurons=dict(lowering.neurons),
        answer=lowering.answer,
        parts=lowering.parts,
        replay=Replay.of(captured, lowering.batch, lowering.axes, lowering.values, by_hand)
        if by_hand and not captured.calls
        else None,
        reduced=(value.kind, value.factors) if isinstance(value, Reduced) else None,
    )


def _is_of_neuron(node: g.Node) -> bool:
    return bool(node.states) or isinstance(node, g.Cell)


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
