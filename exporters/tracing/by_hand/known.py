"""Equations that are those of leaky integrate-and-fire, the graph's `Neuron`.

A step is followed in values α u + β x + γ of the state u and the input x, apart for neurons that
fire and that do not. Whether rounding agrees too is tried on random numbers, but for the sums of
recurrent weights, which each runtime adds in an order of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...graph import ir as g
from ...graph.cell import COMPARISONS, OPERATIONS

TRIED = 512  # random states and inputs
ZERO, ONE = np.zeros(1), np.ones(1)


class _UnknownError(Exception):
    """Equations of another kind."""


class _Affine(NamedTuple):
    """α u + β x + β' r + γ, with r what recurrent weights add."""

    state: g.Array
    input: g.Array
    received: g.Array
    constant: g.Array

    @staticmethod
    def of(constant: Any, state: Any = ZERO, input: Any = ZERO, received: Any = ZERO) -> _Affine:
        return _Affine(state, input, received, constant)

    @property
    def is_constant(self) -> bool:
        return not (self.state.any() or self.input.any() or self.received.any())

    def equals(self, other: _Affine) -> bool:
        return all(bool((a == b).all()) for a, b in zip(self, other, strict=True))


class _Value(NamedTuple):
    """A value of neurons that fire, and of others."""

    fires: _Affine
    rests: _Affine


def known_neuron(cell: g.Dynamics) -> g.Neuron | None:
    """Return the neuron that computes the same, bit by bit; None if there is none.

        v = leak u + gain x,   s = [v > threshold],   u' = v - size s, or v (1 - s)

    The state of the equations may be u, or u times a number k, such as the leak. The first input
    of recurrent equations is what their weights add to; the neuron has one input, the other.
    """
    fed_back = cell.recurrent is not None
    if len(cell.state_names) != 1 + fed_back or len(cell.inputs) != 1 + fed_back:
        return None
    try:
        neuron, k = _Step(cell).neuron()
    except _UnknownError:
        return None
    return neuron if _is_same(cell, neuron, k) else None


class _Step:
    """A step of one state and one input, followed operation by operation."""

    def __init__(self, cell: g.Dynamics) -> None:
        self.cell = cell
        self.compared: _Affine | None = None  # positive where a neuron fires
        self.state = 1 - cell.state_names.index("s") if len(cell.state_names) > 1 else 0
        given = [_Affine.of(ZERO, input=ONE)]
        states = [_Affine.of(ZERO, state=ONE)]
        if cell.recurrent is not None:
            given = [_Affine.of(ZERO, received=ONE), *given]
            states.insert(1 - self.state, _Affine.of(np.full(1, np.nan)))  # read by weights alone
        constants = [_Affine.of(x.astype(np.float64)) for x in cell.constants]
        self.values = [_Value(x, x) for x in (*given, *states, *constants)]
        for kind, inputs in cell.operations:
            self.values.append(self.result(kind, [self.values[i] for i in inputs]))

    def result(self, kind: str, inputs: list[_Value]) -> _Value:
        if kind in COMPARISONS and not all(x.is_constant for value in inputs for x in value):
            return self.comparison(kind, inputs)
        return _Value(*(_of_branch(kind, list(each)) for each in zip(*inputs, strict=True)))

    def comparison(self, kind: str, inputs: list[_Value]) -> _Value:
        """Return 1 of neurons that fire, 0 of others."""
        a, b = inputs if kind == "greater" else inputs[::-1]
        difference = _of_branch("sub", [a.fires, b.fires])
        alike = difference.equals(_of_branch("sub", [a.rests, b.rests]))
        if kind not in ("greater", "less") or not alike:
            raise _UnknownError
        if self.compared is not None and not self.compared.equals(difference):
            raise _UnknownError
        self.compared = difference
        return _Value(_Affine.of(ONE), _Affine.of(ZERO))

    def neuron(self) -> tuple[g.Neuron, g.Array]:
        """Return the neuron, and of its membrane k times which is the state."""
        fires, rests = self.values[self.cell.after[self.state]]
        spikes = self.values[self.cell.output]
        if self.compared is None or not (spikes.fires.is_constant and spikes.rests.is_constant):
            raise _UnknownError
        threshold, membrane = -self.compared.constant, self.compared._replace(constant=ZERO)
        if not (membrane.input.all() and (threshold > 0).all()):
            raise _UnknownError
        if self.cell.recurrent is not None and not (
            (membrane.received == membrane.input).all()
            and self.cell.after[1 - self.state] == self.cell.output
        ):
            raise _UnknownError
        k = rests.input / membrane.input
        reduced = _of_branch("sub", [rests, fires])
        if not (
            k.all()
            and (spikes.fires.constant == 1).all()
            and not spikes.rests.constant.any()
            and rests.equals(_Affine(*(k * part for part in membrane)))
        ):
            raise _UnknownError
        if reduced.is_constant:
            size, reset = reduced.constant / k, "subtract"
        elif fires.is_constant and not fires.constant.any():
            size, reset = threshold, "zero"
        else:
            raise _UnknownError
        neuron = g.Neuron(
            name=self.cell.name,
            inputs=self.cell.inputs[-1:],
            recurrent=self.cell.recurrent,
            leak=_row(k * membrane.state),
            gain=_row(membrane.input),
            threshold=_row(threshold),
            size=_row(size),
            reset=reset,  # type: ignore[arg-type]
        )
        return neuron, _row(k)


def _of_branch(kind: str, inputs: list[_Affine]) -> _Affine:
    """Return the result of an operation for neurons of which all fire, or none."""
    if kind in ("add", "sub", "neg"):
        function: Callable[..., Any] = OPERATIONS[kind]
        return _Affine(*(function(*parts) for parts in zip(*inputs, strict=True)))
    if kind == "where":
        condition = inputs[0]
        chosen = {bool(x) for x in np.ravel(condition.constant != 0)}
        if not condition.is_constant or len(chosen) > 1:
            raise _UnknownError
        return inputs[1 if chosen.pop() else 2]
    if all(x.is_constant for x in inputs):
        found = OPERATIONS[kind](*(x.constant for x in inputs))
        return _Affine.of(np.asarray(found, np.float64))
    if kind == "mul" and inputs[0].is_constant:
        inputs = inputs[::-1]
    if kind in ("mul", "div") and inputs[1].is_constant:
        function, by = OPERATIONS[kind], inputs[1].constant
        return _Affine(*(function(part, by) for part in inputs[0]))
    raise _UnknownError


def _row(values: g.Array) -> g.Array:
    """Return values of a sample, or one, as one number for each channel: `[1, C]` or `[1, 1]`."""
    values = np.asarray(values, np.float32)
    if values.size == 1:
        return values.reshape(1, 1)
    by_channel = values.reshape(len(values), -1)
    if not (by_channel == by_channel[:, :1]).all():
        raise _UnknownError
    return np.ascontiguousarray(by_channel[:, :1].T)


def _is_same(cell: g.Dynamics, neuron: g.Neuron, k: g.Array) -> bool:
    """Return whether both compute the same numbers of random states and inputs."""
    shape = np.broadcast_shapes((1,), *(x.shape for x in cell.constants))
    leak, gain, threshold, size, k = (
        part.reshape(-1, *[1] * (len(shape) - 1))
        for part in (neuron.leak, neuron.gain, neuron.threshold, neuron.size, k)
    )
    noise = np.random.default_rng(0).standard_normal((2, TRIED, *shape)).astype(np.float32)
    u, x = 2 * threshold * noise
    v = leak * u + gain * x
    s = (v > threshold).astype(np.float32)
    after = v - size * s if neuron.reset == "subtract" else v * (1 - s)

    def apply(_: int, kind: str, inputs: list[g.Array]) -> g.Array:
        return np.asarray(OPERATIONS[kind](*inputs), np.float32)

    inputs, states = [x], dict.fromkeys(cell.state_names, k * u)
    if cell.recurrent is not None:
        inputs, states = [0 * x, x], {**states, "s": 0 * u}
    values = cell.results(inputs, list(states.values()), [], apply)
    wanted = {**dict.fromkeys(cell.state_names, k * after), "s": s}
    return np.array_equal(values[cell.output], s) and all(
        np.array_equal(values[i], wanted[name])
        for name, i in zip(cell.state_names, cell.after, strict=True)
    )
