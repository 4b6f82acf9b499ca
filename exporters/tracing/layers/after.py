"""Operators of values that all steps are reduced to: what a forward computes after its loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch.utils._pytree as pytree

from ...graph import ir as g
from ..operators import mul
from ..values import ALL, Const, Reduced, Signal, State
from .axes import ARRANGING

if TYPE_CHECKING:
    from ..lowering import Lowering

LINEAR = {*ARRANGING, "neg", "sum", "mean", "add", "sub", "rsub"}  # if they read nothing else
OF_ALL = (
    "compute it of values that the steps are reduced to: a variance is (x * x).mean(0) - x.mean(0) "
    "** 2"
)
AFFINE = {"linear": 2, "addmm": 0}  # with the number of the argument that is the bias


def of_reduced(
    low: Lowering, handler: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Return the value of an operator of means, sums, or the last of the steps.

    A linear operator is computed at each step, before the mean; any other at each step of a running
    sum, whose last step is the answer:

        f(Σ_t x_t / T) = y_T   with   y_t = f(Σ_{t' <= t} x_t' / T)
    """
    plain = low.name in ("mul", "div") and not kwargs  # a division may round
    scaled = _scaled(low, *args) if plain else None
    if scaled is not None:
        return scaled
    leaves = [x for x in pytree.tree_leaves((args, kwargs)) if not isinstance(x, str)]
    first = next(x for x in leaves if isinstance(x, Reduced))
    if not all(_is_alike(x, first) for x in leaves) or not _is_linear(low, first, args):
        first = Reduced(first.signal, "last")

    def at_each_step(x: Any) -> Any:
        if isinstance(x, Reduced):
            return x.signal if _is_alike(x, first) else _running(low, x)
        if not isinstance(x, Signal | State) or x.step is None:
            return x
        if x.step == ALL:
            raise low.refusal("it reads each step beside a value of all of them", OF_ALL)
        return replace(x, step=ALL) if x.step == low.every - 1 else x  # the last step

    given = list(pytree.tree_map(at_each_step, list(args)))
    bias = AFFINE.get(low.name)
    if bias is not None and bias < len(given) and given[bias] is not None:
        mean = sum(first.factors) / len(first.factors)
        given[bias] = low.constant(given[bias], lambda values: values / mean)
    value = handler(low, *given, **kwargs)
    return pytree.tree_map(lambda x: replace(first, signal=x) if _is_signal(x) else x, value)


def _is_signal(x: Any) -> bool:
    return isinstance(x, Signal | State)


def _scaled(low: Lowering, x: Any, y: Any) -> Reduced | None:
    """Return a reduced value times, or divided by, a number; None of other operands."""
    if low.name == "mul" and isinstance(y, Reduced):
        x, y = y, x
    number = low.number(y)
    if not isinstance(x, Reduced) or not number:
        return None
    by = number if low.name == "mul" else 1 / number
    return replace(x, factors=tuple(factor * by for factor in x.factors))


def _is_alike(x: Any, first: Reduced) -> bool:
    """Return whether an operand is reduced in the same way, or no value of the network."""
    if isinstance(x, Reduced):
        return (x.kind, x.factors) == (first.kind, first.factors)
    return not _is_signal(x)


def _is_linear(low: Lowering, x: Reduced, args: Sequence[Any]) -> bool:
    """Return whether an operator of each step gives that of the reduced value."""
    if x.kind == "last" and x.factors == (1.0,):
        return True
    if low.name in AFFINE:
        return sum(x.factors) != 0
    if low.name in ("mul", "div"):
        return args[0] is x and isinstance(args[1], Const)
    if low.name in ("add", "sub", "rsub") and any(isinstance(y, int | float) for y in args[:2]):
        return False
    constants = any(isinstance(y, Const) for y in pytree.tree_leaves(list(args)))
    return low.name in LINEAR and not constants and _has_values(low)


def _has_values(low: Lowering) -> bool:
    """Return whether the operator gives real values: a conversion to booleans is not linear."""
    found = pytree.tree_leaves(low.node.meta["val"])
    return all(each.dtype.is_floating_point for each in found)


def _running(low: Lowering, x: Reduced) -> Signal:
    """Return values whose last step is a reduced value."""
    signal = low.signal(x.signal)
    if x.kind == "last":
        return signal if x.factors == (1.0,) else mul(low, signal, x.factors[0])
    gain = np.array(x.factors, np.float32).reshape(-1, 1) / np.float32(low.every)

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        nodes: list[g.Node] = []
        one = np.ones(1, np.float32)
        if len(gain) > 1:
            each = {"factor": gain, "offset": np.zeros_like(gain)}
            nodes.append(g.ChannelScale(name=f"{name}.each", inputs=tuple(inputs), **each))
            inputs = [f"{name}.each"]
        by = one if len(gain) > 1 else gain[0]
        return [*nodes, g.Filter(name=name, inputs=tuple(inputs), poles=one[None], gain=by)]

    shape, key = low.folding.shape(signal.layer), ("running", x.factors)
    return low.folding.call("running_sum", "", key, [signal], shape, make, axes=signal.axes)
