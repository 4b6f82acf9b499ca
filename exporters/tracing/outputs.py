"""Which of the values that a forward returns is the output."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...core.errors import ConfigError
from ..graph import ir as g
from .lowering import Lowering
from .samples import reshaped
from .values import ALL, Reduced, Signal, State

HEADS = "heads"


def output_of(
    lowering: Lowering, leaves: list[Any], calls: int
) -> tuple[list[int], Signal | Reduced]:
    """Return leaves and value of the output.

    Of several signals, the output is the one that depends on all others, of those that depend on
    each other the first; without one, all that nothing else depends on, side by side. Of several
    forms of one, such as its steps and their sum, it is the first. Membranes of snnTorch's neurons
    are outputs if nothing else is; of all steps, or of the last.
    """
    signals = _signals(lowering, leaves, calls)
    if not signals:
        states = {i: leaf for i, leaf in enumerate(leaves) if isinstance(leaf, State)}
        several = len({state.neuron for state in states.values()}) > 1
        if states and not several:
            last = max(states, key=lambda i: states[i].index)
            signals = _signals(lowering, {last: lowering.signal(states[last])}, calls)
    before = {name: _ancestors(lowering, name) for name in signals}
    order = list(signals)
    last = [
        n
        for i, n in enumerate(order)
        if not any(n in before[m] and (m not in before[n] or m in order[:i]) for m in order)
    ]
    if not last:
        raise ConfigError(
            "the forward returns no output",
            why="it returns no value of a layer",
            remedy="return the spikes of the last neuron, or a linear layer after them, as a "
            "tensor or in a tuple, list or dict",
        )
    found = [signals[name] for name in last]
    return [leaf for leaf, _ in found], _joined(lowering, [value for _, value in found])


def _joined(lowering: Lowering, values: list[Signal | Reduced]) -> Signal | Reduced:
    """Return several outputs as one."""
    first, folding = values[0], lowering.folding
    if len(values) == 1:
        return first
    signals = [signal_of(value) for value in values]
    layers = [folding.layers[signal.layer] for signal in signals]
    alike = {(signal.step, signal.axes) for signal in signals}
    alike_too = {(v.kind, v.factors) if isinstance(v, Reduced) else None for v in values}
    sizes = {layer.shape[1:] for layer in layers}
    if len(alike) > 1 or len(alike_too) > 1 or len(sizes) > 1:
        raise ConfigError(
            "the forward returns several outputs of different forms",
            why=f"found: {', '.join(layer.where for layer in layers)}",
            remedy="return one of them, or all of them over the same steps, [T, B, K] each",
        )

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        return [g.Concat(name=name, inputs=tuple(inputs))]

    shape, key = (sum(layer.shape[0] for layer in layers), *sizes.pop()), (HEADS,)
    joined = folding.call(HEADS, "", key, [*signals], shape, make, axes=signals[0].axes)
    return replace(first, signal=joined) if isinstance(first, Reduced) else joined


def heads_of(lowering: Lowering, signal: Signal) -> dict[str, int]:
    """Return names and sizes of the outputs that are joined in one."""
    layers = lowering.folding.layers
    if layers[signal.layer].key != (HEADS,):
        return {}
    parts = [layers[edge.layer] for edge in layers[signal.layer].edges]
    return {part.where: part.shape[0] for part in parts}


def signal_of(value: Signal | Reduced) -> Signal:
    return value.signal if isinstance(value, Reduced) else value


def _signals(
    lowering: Lowering, leaves: Any, calls: int
) -> dict[str, tuple[int, Signal | Reduced]]:
    """Return the values among leaves that may be the output, by layer."""
    found: dict[str, tuple[int, Signal | Reduced]] = {}
    for i, value in leaves.items() if isinstance(leaves, dict) else enumerate(leaves):
        signal = signal_of(value)
        if not isinstance(signal, Signal) or signal.layer == g.INPUT:
            continue
        if any(axis in ("TB", "BT") for axis in signal.axes):
            continue
        signal = _flat(lowering, signal)
        value = replace(value, signal=signal) if isinstance(value, Reduced) else signal
        if calls > 1 and signal.step == calls - 1:  # the last of the steps
            value = Reduced(signal, "last")
        known = found.get(signal.layer)
        if known is None or (signal.step == ALL and signal_of(known[1]).step != ALL):
            found[signal.layer] = i, value
    return found


def _flat(lowering: Lowering, x: Signal) -> Signal:
    """Return a value that is one vector in each sample as features."""
    own = [axis for axis in x.axes if isinstance(axis, int) and lowering.size(x, axis) > 1]
    if len(lowering.folding.shape(x.layer)) == 1 or len(own) != 1:
        return x
    heads = [axis for axis in x.axes if isinstance(axis, str)]
    flat = reshaped(lowering, replace(x, axes=(*heads, *own)), (lowering.size(x, own[0]),))
    axes = (axis if isinstance(axis, str) else 0 if axis in own else None for axis in x.axes)
    return replace(flat, axes=tuple(axes))


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
