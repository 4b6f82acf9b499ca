"""Calls of neurons, and of parts that lower themselves, as layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..graph import ir as g
from ..graph.lowering import lower_part
from ..verification.neurons import LoweredNeuron
from .calls import BY_TIME, ONE_STEP, Argument, Call
from .folding import Make
from .kinds import is_snntorch, refusal, state_at_rest
from .neurons import nodes_of
from .samples import in_order, parted, samples
from .values import ALL, Collected, Const, Reduced, Signal, State

if TYPE_CHECKING:
    from .lowering import Lowering

COMPUTED = Signal | State | Reduced | Collected  # values that depend on the input


def part(low: Lowering, call: Call, tensors: Sequence[Any]) -> list[Any]:
    """Return the values of a call of a neuron, or of a part that lowers itself."""
    part = low.root.get_submodule(call.where)
    rest = iter(tensors)
    leaves = [next(rest) if isinstance(leaf, Tensor) else leaf for leaf in call.leaves]
    x, *given = leaves
    given = [leaf for leaf in given if leaf is not None]
    if not isinstance(x, Signal | State):
        why = "its input is not the value of one layer"
        raise refusal(call.where, part, why, ONE_STEP)
    x = low.signal(x)
    if is_snntorch(part) or given:
        return _neuron(low, call, part, x, given)
    return [_whole(low, call, part, x)]


def _whole(low: Lowering, call: Call, part: nn.Module, x: Signal) -> Signal:
    """Return the value of a part that takes all steps."""
    if x.axes[:2] != ("T", "B"):
        merged = x.axes[:1] in (("TB",), ("BT",))
        form = "[T·B, ...]" if merged else "of one step, [B, ...]" if x.step != ALL else "[B, T]"
        why = f"it takes [T, B, ...], and its input is {form}"
        raise refusal(call.where, part, why, BY_TIME)
    x = samples(low, x)
    shape = tuple(call.shapes[0][2:])
    make = partial(_lowered_part, low, call.where, part, part)
    key = ("part", call.where)
    kind, axes = type(part).__name__, (*x.axes[:2], *range(len(shape)))
    return low.folding.call(call.where, kind, key, [x], shape, make, axes=axes)


def _lowered_part(
    low: Lowering,
    where: str,
    part: nn.Module,
    run: Callable[[Tensor], Tensor],
    name: str,
    inputs: Any,
) -> list[g.Node]:
    """Return the nodes of a part that lowers itself; `run` computes its steps from rest."""
    own = getattr(part, "steps", None)
    steps = own if isinstance(own, int) else low.own_steps
    lowered = lower_part(part, where, name, inputs[0], steps)
    if lowered.nodes:
        low.parts[name] = LoweredNeuron(lowered.nodes[0].name, part, run)
    if lowered.answer is not None:
        low.answer = lowered.answer
    return lowered.nodes


def _neuron(low: Lowering, call: Call, neuron: nn.Module, x: Signal, given: list[Any]) -> list[Any]:
    """Return spikes and states of a neuron that makes one step."""
    where = call.where
    step = low.calls[where]
    low.calls[where] += 1
    if x.axes[:1] != ("B",) or x.step == ALL:
        why = "it makes one step in a call, and its input has all steps, [T, B, ...]"
        raise refusal(where, neuron, why, "loop over the steps: spk, mem = neuron(x[t], mem)")
    x = in_order(low, x)
    _, rest = parted(low, x)
    sample = tuple(low.size(x, axis) for axis in rest)
    if is_snntorch(neuron):
        shape = low.folding.shape(x.layer)
        make: Make = partial(_snntorch_nodes, where, neuron, sample, shape)
    else:
        run = partial(_over_steps, neuron, call.state)
        make = partial(_lowered_part, low, where, neuron, run)
    key, kind = ("neuron", where), type(neuron).__name__
    spikes = low.folding.call(
        where, kind, key, [x], low.folding.shape(x.layer), make,
        axes=x.axes, step=step, neuron=neuron, family=key,
    )  # fmt: skip
    first = low.neurons.setdefault(where, spikes.layer)
    if spikes.layer != first or (isinstance(x.step, int) and x.step > step):
        raise refusal(
            where,
            neuron,
            f"its call number {step + 1} does not repeat the first one a step later"
            + _other_input(low, first, x, step),
            "give every neuron its own layer, called once in a time step, and use the same layers "
            "and constants in every step, on the steps of the input in their order",
        )
    _check_states(low, where, neuron, spikes, given)
    number = sum(isinstance(leaf, Tensor) for leaf in call.returned)
    states = [State(spikes.layer, i, step, x.axes) for i in range(1, number)]
    return [spikes, *states]


def _other_input(low: Lowering, first: str, x: Signal, step: int) -> str:
    """Return what a call of a neuron reads that the first one does not; empty if unknown."""
    layers = low.folding.layers
    before = [layers[edge.layer].where for edge in layers[first].edges if edge.layer in layers]
    later = layers[x.layer].where if x.layer in layers else ""
    if before and later not in before:
        return f": it reads {later!r}, not {before[0]!r}"
    if later and isinstance(x.step, int) and x.step != step:
        return f": it reads {later!r} of step {x.step + 1}"
    return ""


def _check_states(
    low: Lowering, where: str, neuron: nn.Module, spikes: Signal, given: list[Any]
) -> None:
    """Refuse states that are not those that the neuron returned last."""
    own = is_snntorch(neuron)
    if given and own and neuron.init_hidden:
        why = "with init_hidden=True it takes no membrane"
        raise refusal(where, neuron, why, "call it with its input alone")
    step = spikes.step
    assert isinstance(step, int)
    index = 0 if type(neuron).__name__ in ("RLeaky", "RSynaptic") else 1
    found = 0
    for leaf in given:
        if isinstance(leaf, Argument) and step == 0:
            if own or len(given) == 1:
                low.states[leaf.path] = State(spikes.layer, index, 0, spikes.axes)
        elif step == 0 and not isinstance(leaf, COMPUTED):
            low.resets = True
            if isinstance(leaf, Const) and not leaf.is_zero:
                why = "its state before the first step is not 0, or is kept from call to call"
                remedy = (
                    "start from 0 in the forward, mem = neuron.reset_mem(); or, in one that makes "
                    "one step, use init_hidden=True, or take the state and return it"
                )
                raise refusal(where, neuron, why, remedy)
        elif isinstance(leaf, COMPUTED | Const | Argument) and not _is_state(
            leaf, spikes, index, step - 1
        ):
            why = "its membrane argument is not the membrane that it returned last"
            raise refusal(where, neuron, why, "pass on the membrane that it returned")
        if isinstance(leaf, COMPUTED | Const | Argument):
            index, found = index + 1, found + 1
    if step > 0 and given and not found:
        why = "it is called with the same state in every step"
        raise refusal(where, neuron, why, "pass on the membrane that it returned")


def membrane(low: Lowering, state: State) -> Signal:
    """Return the membrane of a neuron as the value of a layer."""
    layer = low.folding.layers[state.neuron]
    neuron = layer.neuron
    last = _number_of_states(neuron)
    if not is_snntorch(neuron) or state.index != last:
        why = "of the states of neurons, exports have the membranes of snnTorch's alone"
        raise refusal(layer.where, neuron, why, "use the spikes, or the membrane")
    key = ("membrane", layer.where)
    make = partial(layer.make, membrane=True)  # type: ignore[call-arg]
    name = low.folding.known.get(key)
    if name is None:
        name = low.folding.names.of(f"{layer.name}_mem", "")
        low.folding.names.reserve(name)
        low.folding.layers[name] = replace(
            layer, name=name, key=key, make=make, membrane_of=layer.name
        )
        low.folding.known[key] = name
    return Signal(name, state.step, state.axes)


def _is_state(leaf: Any, spikes: Signal, index: int, step: int) -> bool:
    """Return whether a value is a state that a neuron has returned after a step."""
    if isinstance(leaf, Signal):
        return index == 0 and leaf == replace(spikes, step=step)
    return isinstance(leaf, State) and leaf == State(spikes.layer, index, step, spikes.axes)


def _number_of_states(neuron: nn.Module) -> int:
    """Return the number of values of a neuron of snnTorch behind its spikes."""
    return {"Synaptic": 2, "RSynaptic": 2, "Alpha": 3}.get(type(neuron).__name__, 1)


def _snntorch_nodes(
    where: str,
    neuron: nn.Module,
    sample: g.Shape,
    shape: g.Shape,
    name: str,
    inputs: list[Any],
    **options: Any,
) -> list[g.Node]:
    return nodes_of(name, where, inputs[0], neuron, sample, in_graph=shape, **options)


def _over_steps(neuron: nn.Module, state: Any, x: Tensor) -> Tensor:
    """Return the spikes of a neuron that is called once a step, `[T, B, ...]`."""
    if isinstance(state, Tensor) and not state.any():
        state = torch.zeros_like(x[0])
    elif state is None or isinstance(state, Argument):
        state = state_at_rest(neuron)
    spikes = []
    for x_t in x:
        spk, state = neuron(x_t, state)
        spikes.append(spk)
    return torch.stack(spikes)
