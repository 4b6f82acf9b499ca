"""The forward of a torch module as nodes of the graph, and what the module takes and returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from torch.fx.node import map_arg

from ...core.errors import ConfigError
from ..graph import ir as g
from ..graph.answer import Answer
from ..verification.neurons import LoweredNeuron
from .kinds import declared_steps
from .lowering import FxLowering
from .tracing import ONE_STEP, Trace, trace
from .values import ALL, Membrane, Path, Reduced, Signal, Stack, leaves


@dataclass(frozen=True)
class TracedForward:
    """A forward, lowered to nodes.

    Attributes:
        nodes: of one step, in order.
        output: the node with the output of a step.
        path: of the output in the value that the forward returns.
        runs_all: whether a call runs all steps; otherwise it runs one.
        own_steps: the number of steps that the forward has chosen; None if it is not fixed.
        by_step: whether the forward takes `[T, B, ...]` instead of one image for all steps.
        starts_from_rest: whether each call of the forward starts from rest.
        states: for each argument that is a membrane, its neuron and the path of the new membrane
            in the value that the forward returns.
        unused: required arguments that the forward does not read.
        neurons: paths of the neurons that are called once a step.
        answer: of a readout of asnn.
        parts: neurons that lowered themselves, by the name of their last node.
        reduced: whether the forward returns the mean, the sum or the last of all steps, instead of
            each; None if it returns each.
    """

    nodes: list[g.Node]
    output: str
    path: Path
    runs_all: bool
    own_steps: int | None
    by_step: bool
    starts_from_rest: bool
    states: dict[str, tuple[str, Path]]
    unused: list[str]
    neurons: list[str]
    answer: Answer | None
    parts: dict[str, LoweredNeuron]
    reduced: Literal["mean", "sum", "last"] | None


def trace_module(module: nn.Module, in_shape: g.Shape, steps: int | None) -> TracedForward:
    """Return one step of a module as nodes.

    The input may be an image, or all steps if a part takes all steps at once or if the forward
    cannot be traced otherwise. Both are tried; the error is of the try that came further.

    Args:
        module: in evaluation mode.
        in_shape: of one image.
        steps: T; None if unknown.

    Raises:
        ConfigError: its forward cannot be traced, or the graph has no node for a layer.
    """
    declared = declared_steps(module)
    number = steps or (min(declared) if len(declared) == 1 else None)
    rank = 1 + len(in_shape)
    failed: tuple[int, ConfigError] | None = None
    traces = []
    try:
        traces = [(trace(module, rank), False)]
    except ConfigError as error:
        failed = 0, error
    if failed is not None or traces[0][0].takes_all_steps:
        try:
            traces.insert(0, (trace(module, rank + 1, number), True))
        except ConfigError as error:
            failed = failed or (0, error)
    for found, by_time in traces:
        known = max([*declared, found.step_calls, steps or 1])
        lowering = FxLowering(found.root, in_shape, known, by_time=by_time, resets=found.resets)
        try:
            return _lowered(lowering, found)
        except ConfigError as error:
            if failed is None or len(lowering.values) > failed[0]:
                failed = len(lowering.values), error
    assert failed is not None
    raise failed[1]


def _lowered(lowering: FxLowering, found: Trace) -> TracedForward:
    for node in found.graph.nodes:
        if node.op == "output":
            return _finished(lowering, map_arg(node.args[0], lowering.values.__getitem__))
        lowering.lower(node)
    raise AssertionError("a traced forward returns")


def _finished(lowering: FxLowering, returned: Any) -> TracedForward:
    """Return the lowered forward, given the value that it returns."""
    found = dict(leaves(returned))
    path, value = _output_of(lowering, found)
    signal = value.signal if isinstance(value, Reduced) else value
    output, runs_all = signal.name, signal.step == ALL
    counts = set(lowering.calls.values())
    if not runs_all and counts != {1}:
        raise ConfigError(
            "the forward makes several time steps and does not return all of them",
            why="the output of an export is the mean over the steps",
            remedy=f"return torch.stack of the last layer's spikes, or {ONE_STEP}",
        )
    fixed = counts | lowering.fixed if runs_all else counts
    if len(fixed) > 1:
        raise ConfigError(
            f"the forward does not call every neuron once in each of its {max(fixed)} steps",
            remedy=ONE_STEP,
        )
    if lowering.reads_steps and (lowering.reads_image or not runs_all):
        raise ConfigError(
            "the forward selects steps or samples of its input",
            why="the input of a network is an image, `[B, ...]`, or all steps, `[T, B, ...]`",
            remedy=ONE_STEP,
        )
    return TracedForward(
        nodes=lowering.used(output),
        output=output,
        path=path,
        runs_all=runs_all,
        own_steps=max(fixed, default=None) if runs_all else None,
        by_step=lowering.by_time or lowering.reads_steps,
        starts_from_rest=lowering.resets,
        states=_new_states(lowering, found, max(counts, default=0), runs_all),
        unused=lowering.unused,
        neurons=list(lowering.calls),
        answer=lowering.answer,
        parts=lowering.parts,
        reduced=value.kind if isinstance(value, Reduced) else None,
    )


def _new_states(
    lowering: FxLowering, found: dict[Path, Any], calls: int, runs_all: bool
) -> dict[str, tuple[str, Path]]:
    """Return neuron and path of the new value of each membrane that is an argument."""
    states = {}
    for argument, neuron in lowering.states.items():
        after = Membrane(neuron, calls - 1)
        paths = [path for path, value in found.items() if value == after]
        if not paths and not runs_all:
            raise ConfigError(
                f"the forward takes {argument!r} and does not return it",
                why=f"it is the membrane of {neuron!r}, which the next step needs",
                remedy="return it, or use init_hidden=True",
            )
        states[argument] = (neuron, paths[0] if paths else ())
    return states


def _output_of(lowering: FxLowering, found: dict[Path, Any]) -> tuple[Path, Signal | Reduced]:
    """Return path and value of the output.

    Of several signals, the output is the one that depends on all others.
    """
    signals: dict[str, tuple[Path, Signal | Reduced]] = {}
    for path, value in found.items():
        signal = value.signal if isinstance(value, Reduced) else value
        if isinstance(signal, Signal) and signal.name != g.INPUT and not signal.merged:
            signals.setdefault(signal.name, (path, value))
    before = {name: lowering.ancestors(name) for name in signals}
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
    return signals[last[0]]
