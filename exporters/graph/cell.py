"""Neurons and other values given by the equations of a step, which are elementwise operations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...core.errors import ConfigError
from .nodes import Array, Node, Shape


def sigmoid(x: Array) -> Array:
    """Return σ(x) = (1 + tanh(x / 2)) / 2, which cannot overflow."""
    half = np.float32(0.5)
    return half + half * np.tanh(half * x)


def erf(x: Array) -> Array:
    """Return the error function, 2/√π ∫₀ˣ exp(-t²) dt."""
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), np.float32)


def _where(condition: Array, a: Array, b: Array) -> Array:
    return np.where(condition != 0, a, b)


COMPARISONS: dict[str, Callable[..., Any]] = {
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
}
OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "neg": np.negative,
    "abs": np.abs,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "erf": erf,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "where": _where,
    **COMPARISONS,
}
EXACT = ("add", "sub", "mul", "neg", "abs", "minimum", "maximum")  # for whole numbers


class Operation(NamedTuple):
    """An elementwise operation; a comparison returns 0 or 1.

    Attributes:
        kind: of `OPERATIONS`.
        inputs: indices of values: the input, states, schedules, constants, and the results of
            earlier operations, numbered in this order.
    """

    kind: str
    inputs: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Dynamics(Node):
    """Values with equations of their own, from states of 0, such as the membrane of a neuron.

        y_t, states_t = step(x_t, states_{t-1}, schedules_t)

    A step may read further inputs, that broadcast against x_t. With recurrent weights U,
    x_t + U s_{t-1} takes the place of x_t, with s the state of this name. Without states it is a
    function of the values of a step.

    Attributes:
        state_names: of its states, each of the shape of x.
        schedule_names: of its parameters for each step.
        schedules: `[T, ...]`, of which `[...]` broadcasts against x_t, `[B, ...]`.
        constants: `[...]`, which broadcast against x_t.
        operations: of a step, in order.
        output: index of y_t.
        after: for each state, the index of its new value.
        recurrent: U, as of `Neuron`.
    """

    state_names: tuple[str, ...]
    schedule_names: tuple[str, ...]
    schedules: tuple[Array, ...]
    constants: tuple[Array, ...]
    operations: tuple[Operation, ...]
    output: int
    after: tuple[int, ...]
    recurrent: Array | None = None

    @property
    def is_time_invariant(self) -> bool:
        same = all(bool((table == table[:1]).all()) for table in self.schedules)
        return not self.state_names and same

    @property
    def states(self) -> tuple[str, ...]:
        return self.state_names

    def shape(self, inputs: list[Shape]) -> Shape:
        sample = (1, *inputs[0])
        for values in (*self.constants, *(table[0] for table in self.schedules)):
            try:
                fits = np.broadcast_shapes(sample, values.shape) == sample
            except ValueError:
                fits = False
            self._require(fits, f"{list(inputs[0])}", f"what {list(values.shape)} broadcasts to")
        for other in inputs[1:]:
            fits = len(other) == len(inputs[0]) and all(
                a in (1, b) for a, b in zip(other, inputs[0], strict=True)
            )
            self._require(fits, f"{list(inputs[0])}", f"what {list(other)} broadcasts to")
        self._require_fits(self.recurrent, inputs[0])
        return inputs[0]

    def check(self) -> None:
        """Refuse a step whose value or new state is a constant.

        Raises:
            ConfigError: names it.
        """
        varies = [True] * len(self.inputs + self.states)
        varies += [False] * len(self.schedules + self.constants)
        for _, inputs in self.operations:
            varies.append(any(varies[i] for i in inputs))
        for name, i in zip(("output", *self.state_names), (self.output, *self.after), strict=True):
            if not varies[i]:
                raise ConfigError(f"{name!r} of its step depends on neither input nor states")

    def results(
        self,
        inputs: Sequence[Any],
        states: list[Any],
        schedules: list[Any],
        apply: Callable[[int, str, Any], Any],
    ) -> list[Any]:
        """Return all values of a step.

        Args:
            inputs, states, schedules: of the step.
            apply: returns the result of an operation, given its number, kind and inputs.
        """
        values = [*inputs, *states, *schedules, *self.constants]
        for i, (kind, inputs) in enumerate(self.operations):
            values.append(apply(i, kind, [values[j] for j in inputs]))
        return values

    def uncertain(self) -> list[tuple[int, int]]:
        """Return the pairs of values whose comparison rounding may change, as whole numbers'
        cannot."""
        exact = self._holding(_is_exact, lambda a: bool((a == np.rint(a)).all()))
        return [
            (inputs[0], inputs[1])
            for kind, inputs in self.operations
            if kind in COMPARISONS and not (exact[inputs[0]] and exact[inputs[1]])
        ]

    def _holding(
        self, rule: Callable[[Dynamics, Operation, list[bool]], bool], of: Callable[[Array], bool]
    ) -> list[bool]:
        """Return of which values a property holds at every step, if it holds of 0.

        Args:
            rule: whether it holds of a result, given of which inputs it holds.
            of: whether it holds of a constant or schedule.
        """
        kept = [True] * len(self.state_names)  # of a state until its new value lacks it
        while True:
            inputs = [False] * len(self.inputs)
            found = [*inputs, *kept, *map(of, self.schedules), *map(of, self.constants)]
            for operation in self.operations:
                found.append(rule(self, operation, [found[i] for i in operation.inputs]))
            after = [a and found[i] for a, i in zip(kept, self.after, strict=True)]
            if after == kept:
                return found
            kept = after

    @property
    def has_spikes(self) -> bool:
        """Whether its value is 0 or 1 by its equations: a comparison, or a product of such."""
        return self._holding(_is_binary, _binary)[self.output]

    def is_one(self, index: int) -> bool:
        """Return whether a value is the constant 1."""
        first = len(self.inputs) + len(self.state_names) + len(self.schedules)
        return first <= index < first + len(self.constants) and bool(
            (self.constants[index - first] == 1).all()
        )


@dataclass(frozen=True, kw_only=True)
class Cell(Dynamics):
    """A neuron with equations of its own: its value y_t are spikes, 0 or 1."""

    @property
    def is_time_invariant(self) -> bool:
        return False

    def is_binary(self, inputs: list[bool]) -> bool:
        return True

    def check(self) -> None:
        """Refuse a step that is not one of a neuron.

        Raises:
            ConfigError: its value is no comparison nor a product of such, or it or a new state is
                a constant.
        """
        if not self.has_spikes:
            raise ConfigError(
                "its step returns values that are not 0 or 1",
                remedy="return spike(v - threshold) or a comparison first, then the new states",
            )
        super().check()


def cell_steps(
    node: Dynamics, inputs: Sequence[Array], recurrence: Callable[[Array], Array] | None = None
) -> tuple[Array, Array]:
    """Return values and distances of all steps, both of the shape of x, `[T, B, ...]`.

    The distance of a step is that of the closest two values that it compares.

    Args:
        node: with its equations.
        inputs: x, then others that it reads, `[T, B, ...]` each.
        recurrence: from spikes `[B, ...]` what recurrent weights make of them.
    """
    x = inputs[0]
    found, distances = np.empty_like(x, order="C"), np.full_like(x, np.inf, order="C")
    states: list[Array] = [np.zeros_like(x[0]) for _ in node.state_names] if len(x) else []
    pairs = node.uncertain()
    with np.errstate(all="ignore"):  # as in other runtimes
        for t, (x_t, *others) in enumerate(zip(*inputs, strict=True)):
            if recurrence is not None:
                x_t = x_t + recurrence(states[node.states.index("s")])
            schedules = [table[t] for table in node.schedules]
            values = node.results([x_t, *others], states, schedules, _apply)
            found[t] = values[node.output]
            for a, b in pairs:
                np.minimum(distances[t], np.abs(values[a] - values[b]), out=distances[t])
            states = [values[i] for i in node.after]
    return found, distances


def _apply(_: int, kind: str, inputs: list[Array]) -> Array:
    return np.asarray(OPERATIONS[kind](*inputs), np.float32)


def _binary(values: Array) -> bool:
    return bool(((values == 0) | (values == 1)).all())


def _is_binary(cell: Dynamics, operation: Operation, holds: list[bool]) -> bool:
    match operation.kind:
        case "mul" | "minimum" | "maximum" | "abs":
            return all(holds)
        case "where":
            return all(holds[1:])
        case "sub":  # the complement
            return cell.is_one(operation.inputs[0]) and holds[1]
    return operation.kind in COMPARISONS


def _is_exact(cell: Dynamics, operation: Operation, holds: list[bool]) -> bool:
    if operation.kind == "where":
        return all(holds[1:])
    return operation.kind in COMPARISONS or (operation.kind in EXACT and all(holds))
